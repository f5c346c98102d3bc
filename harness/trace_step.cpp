// A step of a trace as replays read it: what it recorded, and what was in the cache before it.
#include <algorithm>

#include <fmt/format.h>

#include "harness/trace.h"

namespace plumbline {
namespace {

// Tokens of a step as one recorded tensor shows them; 0 where its shape does not.
std::int64_t tokens_shown(OpSite site, const Tensor& tensor) {
  const std::vector<Axis>& axes = probe_spec(site.probe).shape;
  for (std::size_t axis = 0; axis < axes.size(); ++axis) {
    if (axes[axis] == Axis::tokens && static_cast<int>(axis) < tensor.shape().rank()) {
      return tensor.shape()[static_cast<int>(axis)];
    }
  }
  return 0;
}

std::int64_t tokens_of(const TraceStep& step) {
  if (step.given) return static_cast<std::int64_t>(step.given->tokens.size());
  std::int64_t tokens = 0;
  for (const auto& [site, tensor] : step.tensors) tokens = std::max(tokens, tokens_shown(site, tensor));
  return tokens;
}

// What is left of so many tokens.
std::int64_t held_by(const RingCache& ring, std::int64_t tokens) {
  return std::min(tokens, ring.kept) + std::clamp<std::int64_t>(tokens - ring.kept, 0, ring.ring);
}

// Declared, or a half type that the first recorded cache has.
std::optional<DType> dtype_of_caches(const Trace& trace) {
  if (trace.metadata.cache) return trace.metadata.cache;
  const Tensor* first = nullptr;
  for (const auto& [sequence, initial] : trace.initial) {
    if (first == nullptr && !initial.key.empty()) first = &initial.key.begin()->second;
  }
  for (const TraceStep& step : trace.steps) {
    if (first != nullptr) break;
    for (const auto& [site, tensor] : step.tensors) {
      const bool is_cache = site.probe == Probe::past_key || site.probe == Probe::past_value;
      if (is_cache && first == nullptr) first = &tensor;
    }
  }
  const bool half = first != nullptr && (first->dtype() == DType::bf16 || first->dtype() == DType::f16);
  return half ? std::optional(first->dtype()) : std::nullopt;
}

// Declared; else as the first step that recorded it has it; else, in half storage, f32, the narrowest gates.
std::optional<DType> dtype_of(Probe probe, std::optional<DType> declared, const Trace& trace) {
  if (declared) return declared;
  for (const TraceStep& step : trace.steps) {
    for (const auto& [site, tensor] : step.tensors) {
      if (site.probe == probe && is_floating(tensor.dtype())) return tensor.dtype();
    }
  }
  const bool half = trace.metadata.storage == DType::bf16 || trace.metadata.storage == DType::f16;
  return half ? std::optional(DType::f32) : std::nullopt;
}

Precision precision_of(const Trace& trace) {
  Precision precision = trace.metadata.precision;
  precision.rotary = dtype_of(Probe::cos, precision.rotary, trace);
  precision.scores = dtype_of(Probe::scores, precision.scores, trace);
  precision.probs = dtype_of(Probe::probs, precision.probs, trace);
  return precision;
}

std::map<int, TensorView> views_of(const std::map<int, Tensor>& tensors) {
  std::map<int, TensorView> views;
  for (const auto& [layer, tensor] : tensors) views.emplace(layer, tensor.view());
  return views;
}

const TensorView* lookup(const std::map<int, TensorView>& views, int layer) {
  const auto found = views.find(layer);
  return found == views.end() ? nullptr : &found->second;
}

}  // namespace

TraceStepView::TraceStepView(const Trace& trace, std::size_t index) : step_(trace.steps.at(index)) {
  for (const auto& [site, tensor] : step_.tensors) views_.emplace(site, tensor.view());
  cache_dtype_ = dtype_of_caches(trace);
  precision_ = precision_of(trace);
  if (const auto initial = trace.initial.find(step_.sequence); initial != trace.initial.end()) {
    previous_key_ = views_of(initial->second.key);
    previous_value_ = views_of(initial->second.value);
  }
  count_tokens(trace);
  for (const TraceStep& earlier : trace.steps) {
    if (earlier.sequence != step_.sequence || earlier.step + 1 != step_.step) continue;
    previous_key_.clear();
    previous_value_.clear();
    for (const auto& [site, tensor] : earlier.tensors) {
      if (site.probe == Probe::past_key) previous_key_.emplace(site.layer, tensor.view());
      if (site.probe == Probe::past_value) previous_value_.emplace(site.layer, tensor.view());
    }
  }
}

void TraceStepView::count_tokens(const Trace& trace) {
  tokens_ = tokens_of(step_);
  const auto found = trace.rings.find(step_.sequence);
  const bool forgets = found != trace.rings.end();
  const RingCache ring = forgets ? found->second : RingCache{};
  const auto held = [&](std::int64_t tokens) { return forgets ? held_by(ring, tokens) : tokens; };
  std::int64_t before = previous_key_.empty() ? 0 : previous_key_.begin()->second.shape[0];
  if (held(before) != before) {
    throw Error(fmt::format("sequence {} begins with {} tokens, and its ring holds {}", step_.sequence,
                            before, ring.kept + ring.ring),
                "trace");
  }
  for (const TraceStep& earlier : trace.steps) {
    if (earlier.sequence == step_.sequence && earlier.step < step_.step) before += tokens_of(earlier);
  }
  past_length_ = held(before + tokens_) - tokens_;
  const std::int64_t stay = forgets ? std::min(before, ring.kept) : before;
  forgotten_ = {stay, held(before) - past_length_};
  if (past_length_ < stay) {
    throw Error(fmt::format("a step of {} tokens over a ring of {}", tokens_, ring.ring), "trace",
                "a ring is judged for steps that it can hold");
  }
  const bool knows = step_.given && !step_.given->positions.empty();
  tokens_before_ = knows ? step_.given->positions.front() : before;
}

const GivenInputs* TraceStepView::given() const {
  return step_.given ? &*step_.given : nullptr;
}

const TensorView* TraceStepView::find(OpSite site) const {
  const auto found = views_.find(site);
  return found == views_.end() ? nullptr : &found->second;
}

const TensorView* TraceStepView::previous_key(int layer) const {
  return lookup(previous_key_, layer);
}
const TensorView* TraceStepView::previous_value(int layer) const {
  return lookup(previous_value_, layer);
}

}  // namespace plumbline
