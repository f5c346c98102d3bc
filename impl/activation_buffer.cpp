#include "impl/activation_buffer.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>

#include <fmt/format.h>

#include "harness/error.h"

namespace plumbline::native {
namespace {

constexpr const char* kWhere = "activation buffer";

std::int64_t size_of(Axis axis, const ModelConfig& config) {
  switch (axis) {
    case Axis::hidden:
      return config.hidden_size;
    case Axis::query_dim:
      return config.num_attention_heads * config.head_dim;
    case Axis::key_value_dim:
      return config.num_key_value_heads * config.head_dim;
    case Axis::heads:
      return config.num_attention_heads;
    case Axis::kv_heads:
      return config.num_key_value_heads;
    case Axis::head_dim:
      return config.head_dim;
    case Axis::intermediate:
      return config.intermediate_size;
    default:
      return 0;  // no fixed row for a token
  }
}

// Floats of one token's row.
std::int64_t width_of(OpSite probe, const ModelConfig& config) {
  const ProbeSpec& spec = probe_spec(probe.probe);
  const bool in_layers = spec.scope == ProbeScope::layer;
  if (spec.scope == ProbeScope::sample || !is_floating(spec.dtype) || spec.shape.size() < 2 ||
      spec.shape[0] != Axis::tokens) {
    throw Error(fmt::format("'{}' has no row of activations for each token", spec.name), kWhere);
  }
  if (in_layers ? probe.layer < 0 || probe.layer >= config.num_hidden_layers : probe.layer != -1) {
    throw Error(fmt::format("'{}' of layer {} is not there: the model has {} layers", spec.name, probe.layer,
                            config.num_hidden_layers),
                kWhere);
  }
  std::int64_t width = 1;
  for (std::size_t axis = 1; axis < spec.shape.size(); ++axis) width *= size_of(spec.shape[axis], config);
  if (width == 0)
    throw Error(fmt::format("'{}' has no row of activations for each token", spec.name), kWhere);
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
    origins_.reserve(static_cast<std::size_t>(capacity));
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
  if (tokens > capacity_ - rows_) {
    throw Error(fmt::format("is full: holds {} of {} tokens, and {} more come", rows_, capacity_, tokens),
                kWhere, "use what it holds and clear it, or make it larger");
  }
  origins_.resize(static_cast<std::size_t>(rows_));
  pending_.clear();
  awaited_.clear();
  for (const SequenceStep& step : steps) {
    pending_[step.sequence] = {static_cast<std::int64_t>(origins_.size()),
                               static_cast<std::int64_t>(step.tokens.size())};
    // Where there are fewer positions than tokens the engine refuses the call.
    for (std::size_t i = 0; i < step.tokens.size(); ++i)
      origins_.push_back({step.sequence, i < step.positions.size() ? step.positions[i] : 0, step.tokens[i]});
  }
  for (const auto& [probe, rows] : kept_) awaited_[probe] = pending_.size();
}

std::int64_t ActivationBuffer::bytes() const {
  std::size_t bytes = 0;
  for (const auto& [probe, rows] : kept_) bytes += rows.bytes().size();
  return static_cast<std::int64_t>(bytes);
}

TensorView ActivationBuffer::view(OpSite probe) const {
  const auto found = kept_.find(probe);
  if (found == kept_.end()) throw Error(fmt::format("'{}' is not kept", site_name(probe)), kWhere);
  return found->second.view().rows(0, rows_);
}

std::span<const ActivationOrigin> ActivationBuffer::origins() const {
  return {origins_.data(), static_cast<std::size_t>(rows_)};
}

void ActivationBuffer::clear() {
  rows_ = 0;
  origins_.clear();
  pending_.clear();
  awaited_.clear();
}

ProbeSink::Access ActivationBuffer::access(const ProbeId& id) const {
  return pending_.contains(id.sequence) && kept_.contains(id.site) ? Access::read : Access::none;
}

void ActivationBuffer::receive(const ProbeId& id, const TensorView& view) {
  const Pending& step = pending_.at(id.sequence);
  Tensor& rows = kept_.at(id.site);
  const std::int64_t width = rows.shape()[1];
  require(view.shape.rank() >= 2 && view.shape[0] == step.tokens && view.elements() == step.tokens * width,
          "activation buffer: other rows than begin() said");
  float* to = rows.values<float>().data() + step.first * width;
  const bool plain = view.device.kind == DeviceKind::cpu && view.dtype == DType::f32 && view.is_contiguous();
  if (plain) {
    std::memcpy(to, view.data, static_cast<std::size_t>(view.elements()) * sizeof(float));
  } else {
    const Tensor host = engine_.to_host(view);
    for (std::int64_t i = 0; i < host.elements(); ++i)
      to[i] = static_cast<float>(element_as_f64(host.view(), i));
  }
  if (--awaited_.at(id.site) > 0) return;
  awaited_.erase(id.site);
  if (!awaited_.empty()) return;
  rows_ = static_cast<std::int64_t>(origins_.size());
  pending_.clear();
}

}  // namespace plumbline::native
