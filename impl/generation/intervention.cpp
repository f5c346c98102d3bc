#include "impl/generation/intervention.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/generation/row_probes.h"
#include "impl/half.h"

namespace plumbline::native {
namespace {

std::string where_of(OpSite site) {
  return "intervention at " + site_name(site);
}

std::int64_t width_of(const ModelConfig& config, OpSite site) {
  return site.probe == Probe::lm_head ? config.vocab_size : row_width(config, site.probe);
}

// Heads in a row of the probe; 0 where it has none.
std::int64_t heads_of(const ModelConfig& config, Probe probe) {
  switch (probe_spec(probe).shape.at(1)) {
    case Axis::heads:
    case Axis::query_dim:
      return config.num_attention_heads;
    case Axis::kv_heads:
    case Axis::key_value_dim:
      return config.num_key_value_heads;
    default:
      return 0;
  }
}

void check_heads(const Intervention& what, const ModelConfig& config) {
  if (what.heads.empty()) return;
  const std::string where = where_of(what.site);
  const std::int64_t heads = heads_of(config, what.site.probe);
  if (heads == 0) throw Error("has no heads to choose from", where);
  std::set<std::int64_t> seen;
  for (const std::int64_t head : what.heads) {
    if (head < 0 || head >= heads) throw Error(fmt::format("no head {}: there are {}", head, heads), where);
    if (!seen.insert(head).second) throw Error(fmt::format("head {} is named twice", head), where);
  }
}

void check_values(const Intervention& what, std::int64_t width) {
  const std::string where = where_of(what.site);
  const auto size = static_cast<std::int64_t>(what.values.size());
  const std::int64_t positions = what.positions.count();
  const bool fits =
      size == 1 || size == width || (positions > 0 && size % width == 0 && size / width == positions);
  if (!fits) {
    const std::string rows = positions > 0 ? fmt::format(", or {} rows of them", positions) : "";
    throw Error(fmt::format("has {} values", size), where, fmt::format("1 or {}{}", width, rows));
  }
  for (const float value : what.values) {
    if (!std::isfinite(value)) throw Error(fmt::format("the value {} is not finite", value), where);
  }
}

bool share_heads(const Intervention& a, const Intervention& b) {
  if (a.heads.empty() || b.heads.empty()) return true;
  return std::any_of(a.heads.begin(), a.heads.end(), [&](std::int64_t head) {
    return std::find(b.heads.begin(), b.heads.end(), head) != b.heads.end();
  });
}

bool replace_the_same(const Intervention& a, const Intervention& b) {
  if (a.kind != InterventionKind::replace || b.kind != InterventionKind::replace) return false;
  const bool sequences = !a.sequence || !b.sequence || *a.sequence == *b.sequence;
  return sequences && share_heads(a, b) && a.positions.overlaps(b.positions);
}

}  // namespace

Interventions::Interventions(Engine& engine, std::vector<Intervention> list) : engine_(engine) {
  for (Intervention& what : list) {
    const OpSite site = what.site;
    at_[site].push_back(prepare(std::move(what)));
  }
  for (const auto& [site, prepared] : at_) check_replacements(site, prepared);
}

Interventions::Prepared Interventions::prepare(Intervention what) const {
  const ModelConfig& config = engine_.config();
  const std::string_view name = probe_spec(what.site.probe).name;
  const std::int64_t row = width_of(config, what.site);
  if (row == 0) {
    throw Error(fmt::format("'{}' cannot be written", name), "intervention",
                "it takes a probe with a row of floats for every token");
  }
  require_shown(config, what.site, "intervention");
  check_heads(what, config);
  Prepared made;
  if (what.heads.empty()) made.channels.push_back({0, row});
  for (const std::int64_t head : what.heads)
    made.channels.push_back({head * config.head_dim, config.head_dim});
  for (const Channels& each : made.channels) made.width += each.count;
  check_values(what, made.width);
  if (what.sequence && *what.sequence < 0) {
    throw Error(fmt::format("sequence {} is negative", *what.sequence), where_of(what.site));
  }
  made.what = std::move(what);
  return made;
}

void Interventions::check_replacements(OpSite site, const std::vector<Prepared>& list) const {
  for (std::size_t i = 0; i < list.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (replace_the_same(list[i].what, list[j].what))
        throw Error("two replace the same place", where_of(site));
    }
  }
}

void Interventions::begin(std::span<const SequenceStep> steps) {
  positions_.clear();
  for (const SequenceStep& step : steps) {
    positions_[step.sequence].assign(step.positions.begin(), step.positions.end());
  }
}

bool Interventions::acts(const Prepared& each, const ProbeId& id) const {
  if (each.what.sequence && *each.what.sequence != id.sequence) return false;
  const std::vector<std::int64_t>& positions = positions_.at(id.sequence);
  return std::any_of(positions.begin(), positions.end(), [&](std::int64_t position) {
    return each.what.positions.index_of(position).has_value();
  });
}

ProbeSink::Access Interventions::access(const ProbeId& id) const {
  const auto found = at_.find(id.site);
  if (found == at_.end() || !positions_.contains(id.sequence)) return Access::none;
  const bool any = std::any_of(found->second.begin(), found->second.end(),
                               [&](const Prepared& each) { return acts(each, id); });
  return any ? Access::write : Access::none;
}

void Interventions::modify(const ProbeId& id, const MutableTensorView& view) {
  const bool readable = view.dtype == DType::f32 || view.dtype == DType::bf16 || view.dtype == DType::f16;
  if (view.device.kind != DeviceKind::cpu || !readable || !view.is_contiguous()) {
    throw Error("cannot be written: it is not f32, bf16 or f16 on the host", site_name(id.site));
  }
  if (view.dtype == DType::f32) return change(id, view.shape, static_cast<float*>(view.mutable_data));
  auto* const halves = static_cast<std::byte*>(view.mutable_data);
  std::vector<float> wide(static_cast<std::size_t>(view.elements()));
  widen(view.dtype, halves, view.elements(), wide.data());
  change(id, view.shape, wide.data());
  narrow(view.dtype, wide.data(), view.elements(), halves);
}

void Interventions::change(const ProbeId& id, const Shape& shape, float* values) {
  const std::span<const std::int64_t> positions = positions_.at(id.sequence);
  const auto rows = static_cast<std::size_t>(shape[0]);
  require(rows <= positions.size(), "intervention: more rows than begin() said");
  const auto shown = positions.last(rows);  // of logits, the last ones
  const std::int64_t width = rows == 0 ? 0 : shape.elements() / shape[0];
  for (const Prepared& each : at_.at(id.site)) {
    if (each.what.sequence && *each.what.sequence != id.sequence) continue;
    for (std::size_t row = 0; row < rows; ++row) {
      const std::optional<std::int64_t> index = each.what.positions.index_of(shown[row]);
      if (!index) continue;
      change_row(each, *index, values + static_cast<std::int64_t>(row) * width);
    }
  }
}

void Interventions::change_row(const Prepared& each, std::int64_t index, float* row) {
  const std::vector<float>& values = each.what.values;
  const bool one = values.size() == 1;
  const bool same_row = static_cast<std::int64_t>(values.size()) == each.width;
  const float* value = values.data() + (one || same_row ? 0 : index * each.width);
  for (const Channels& channels : each.channels) {
    for (float* x = row + channels.first; x != row + channels.first + channels.count; ++x) {
      if (each.what.kind == InterventionKind::replace) *x = *value;
      if (each.what.kind == InterventionKind::scale) *x *= *value;
      // -0 + 0 would be +0.
      if (each.what.kind == InterventionKind::add && *value != 0) *x += *value;
      if (!one) ++value;
    }
  }
}

}  // namespace plumbline::native
