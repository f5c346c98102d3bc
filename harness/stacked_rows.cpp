#include "harness/stacked_rows.h"

#include <algorithm>
#include <cstring>

namespace plumbline {
namespace {

// The op's output and the probes that it reads; empty where it reads anything else.
std::vector<OpSite> sites_of(OpSite site) {
  std::vector<OpSite> sites{site};
  for (const OpInput& input : probe_spec(site.probe).inputs) {
    if (input.source != InputSource::probe) return {};
    sites.push_back({input.probe, probe_spec(input.probe).scope == ProbeScope::layer ? site.layer : -1});
  }
  return sites;
}

bool is_matrix(const TensorView* view) {
  return view != nullptr && view->shape.rank() == 2 && view->is_contiguous() &&
         view->device.kind == DeviceKind::cpu;
}

}  // namespace

std::int64_t stackable_rows(OpSite site, const RecordedStep& step) {
  if (probe_spec(site.probe).op != OpClass::linear) return 0;
  const TensorView* output = step.find(site);
  if (!is_matrix(output)) return 0;
  const std::int64_t rows = output->shape[0];
  const std::vector<OpSite> sites = sites_of(site);
  const bool enough = std::all_of(sites.begin(), sites.end(), [&](OpSite each) {
    const TensorView* view = step.find(each);
    return is_matrix(view) && view->shape[0] >= rows && view->shape[0] <= step.tokens();
  });
  return enough && !sites.empty() ? rows : 0;
}

bool stack_together(OpSite site, const RecordedStep& a, const RecordedStep& b) {
  const std::vector<OpSite> sites = sites_of(site);
  return std::all_of(sites.begin(), sites.end(), [&](OpSite each) {
    const TensorView *x = a.find(each), *y = b.find(each);
    return x->dtype == y->dtype && x->shape[1] == y->shape[1];
  });
}

StackedRows::StackedRows(OpSite site, std::span<const RecordedStep* const> steps) {
  require(!steps.empty(), "stacked rows: no steps");
  precision_ = steps[0]->precision();
  for (const RecordedStep* step : steps) {
    require(stackable_rows(site, *step) > 0 && stack_together(site, *steps[0], *step),
            "stacked rows: steps that do not fit");
    rows_ += step->find(site)->shape[0];
  }
  for (const OpSite each : sites_of(site)) {
    const TensorView& first = *steps[0]->find(each);
    Tensor stacked(first.dtype, Shape{rows_, first.shape[1]});
    std::size_t offset = 0;
    for (const RecordedStep* step : steps) {
      const TensorView part = step->find(each)->last_rows(step->find(site)->shape[0]);
      const std::size_t bytes = static_cast<std::size_t>(part.elements()) * dtype_size(part.dtype);
      std::memcpy(static_cast<std::byte*>(stacked.mutable_view().mutable_data) + offset, part.data, bytes);
      offset += bytes;
    }
    const auto [place, added] = tensors_.emplace(each, std::move(stacked));
    views_.emplace(each, place->second.view());
    require(added, "stacked rows: an op that reads one probe twice");
  }
}

const TensorView* StackedRows::find(OpSite site) const {
  const auto found = views_.find(site);
  return found == views_.end() ? nullptr : &found->second;
}

}  // namespace plumbline
