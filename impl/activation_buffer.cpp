#include "impl/activation_buffer.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/generation/row_probes.h"

namespace plumbline::native {
namespace {

constexpr const char* kWhere = "activation buffer";

// Floats of one token's row.
std::int64_t width_of(OpSite probe, const ModelConfig& config) {
  const std::int64_t width = row_width(config, probe.probe);
  if (width == 0) {
    throw Error(fmt::format("'{}' has no row of activations for each token", probe_spec(probe.probe).name),
                kWhere);
  }
  require_shown(config, probe, kWhere);
  return width;
}

}  // namespace

ActivationBuffer::ActivationBuffer(Engine& engine, std::span<const OpSite> probes, std::int64_t capacity)
    : engine_(engine), capacity_(capacity) {
  if (probes.empty()) throw Error("has no probes to keep", kWhere);
  if (capacity < 1) throw Error(fmt::format("the capacity is {} tokens", capacity), kWhere, "at least 1");
  for (const OpSite probe : probes) {
    if (kept_.contains(probe)) throw Error(fmt::format("'{}' is named twice", site_name(probe)), kWhere);
    kept_.emplace(probe, make_rows(probe, capacity));
  }
  try {
    tokens_.reserve(capacity);
  } catch (const std::exception&) {
    throw Error(fmt::format("no memory for the origins of {} tokens", capacity), kWhere);
  }
}

Tensor ActivationBuffer::make_rows(OpSite probe, std::int64_t capacity) const {
  const std::int64_t width = width_of(probe, engine_.config());
  const double bytes = static_cast<double>(capacity) * static_cast<double>(width) * sizeof(float);
  const auto refuse = [&] {
    throw Error(
        fmt::format("no memory for {:.0f} bytes of '{}' ({} tokens)", bytes, site_name(probe), capacity),
        kWhere, "a smaller capacity");
  };
  if (bytes > static_cast<double>(std::numeric_limits<std::int64_t>::max() / 2)) refuse();
  try {
    return Tensor(DType::f32, {capacity, width});
  } catch (const std::bad_alloc&) {
    refuse();
  }
  return {};
}

void ActivationBuffer::begin(std::span<const SequenceStep> steps) {
  std::int64_t tokens = 0;
  for (const SequenceStep& step : steps) tokens += static_cast<std::int64_t>(step.tokens.size());
  if (tokens > capacity_ - rows()) {
    throw Error(fmt::format("is full: holds {} of {} tokens, and {} more come", rows(), capacity_, tokens),
                kWhere, "use what it holds and clear it, or make it larger");
  }
  tokens_.begin(steps);
  awaited_.clear();
  for (const auto& [probe, rows] : kept_) awaited_[probe] = tokens_.pending_steps();
}

std::int64_t ActivationBuffer::bytes() const {
  std::size_t bytes = 0;
  for (const auto& [probe, rows] : kept_) bytes += rows.bytes().size();
  return static_cast<std::int64_t>(bytes);
}

TensorView ActivationBuffer::view(OpSite probe) const {
  const auto found = kept_.find(probe);
  if (found == kept_.end()) throw Error(fmt::format("'{}' is not kept", site_name(probe)), kWhere);
  return found->second.view().rows(0, rows());
}

void ActivationBuffer::clear() {
  tokens_.clear();
  awaited_.clear();
}

ProbeSink::Access ActivationBuffer::access(const ProbeId& id) const {
  const bool wanted =
      tokens_.pending(id.sequence) != nullptr && (kept_.contains(id.site) || tokens_.ends(id));
  return wanted ? Access::read : Access::none;
}

void ActivationBuffer::receive(const ProbeId& id, const TensorView& view) {
  const auto kept = kept_.find(id.site);
  if (kept != kept_.end()) {
    const CapturedTokens::Pending& step = *tokens_.pending(id.sequence);
    const std::int64_t width = kept->second.shape()[1];
    require(view.shape.rank() >= 2 && view.shape[0] == step.tokens && view.elements() == step.tokens * width,
            "activation buffer: other rows than begin() said");
    const HostFloats values(engine_, view);
    std::memcpy(kept->second.values<float>().data() + step.first * width, values.data(),
                static_cast<std::size_t>(step.tokens * width) * sizeof(float));
    --awaited_.at(id.site);
  }
  if (!tokens_.ends(id) || !tokens_.note_end(id)) return;
  const bool whole =
      std::all_of(awaited_.begin(), awaited_.end(), [](const auto& each) { return each.second == 0; });
  if (whole) tokens_.commit();
}

}  // namespace plumbline::native
