#include "impl/cuda/decode/step.h"

#include <algorithm>

#include "impl/cuda/vectors.h"
#include "impl/input_probes.h"

namespace plumbline::native::cuda {
namespace {

DecodeModel model_of(const ModelConfig& config, const DerivedArchitecture& derived,
                     const ModelWeights& weights, DType storage) {
  DecodeModel made;
  made.storage = storage;
  made.sizes = {config.hidden_size, config.num_attention_heads, config.num_key_value_heads, config.head_dim,
                config.intermediate_size};
  made.eps = static_cast<float>(config.rms_norm_eps);
  made.attention_factor = static_cast<float>(config.rope.attention_factor);
  made.scale = static_cast<float>(derived.attention_scale);
  made.embedding = weights.embedding();
  made.norm = weights.norm();
  made.head = weights.head();
  for (const LayerWeights& layer : weights.layers()) {
    const auto window = window_of(config, static_cast<int>(made.layers.size())).value_or(0);
    made.layers.push_back({layer.input_layernorm, layer.post_attention_layernorm, layer.q_proj, layer.k_proj,
                           layer.v_proj, layer.o_proj, layer.gate_proj, layer.up_proj, layer.down_proj,
                           window});
  }
  return made;
}

// The most keys that a layer sees; 0: no layer has a bound of its own.
std::int64_t widest_window(const std::vector<DecodeModelLayer>& layers) {
  std::int64_t widest = 1;
  for (const DecodeModelLayer& layer : layers) {
    if (layer.window == 0) return 0;
    widest = std::max(widest, layer.window);
  }
  return widest;
}

// Keys and values that are read 16 bytes at a time, as all of a model that decode_takes() are, unless a cache
// packs them in some way of its own.
bool on_16_bytes(const DeviceRuns& runs, std::size_t element) {
  return std::ranges::all_of(runs.runs, [&](const DeviceRun& run) {
    const auto strides = static_cast<std::uint64_t>(run.token_stride | run.head_stride) * element;
    return run.tokens == 0 || (aligned(run.keys) && aligned(run.values) && strides % 16 == 0);
  });
}

}  // namespace

DecodeStep::DecodeStep(Stream stream, const ModelConfig& config, const DerivedArchitecture& derived,
                       const ModelWeights& weights, DType storage) {
  const DecodeModel model = model_of(config, derived, weights, storage);
  window_ = widest_window(model.layers);
  launcher_ = make_decode_launcher(stream, model);
}

bool DecodeStep::takes(const Batch& batch, DType cache, std::span<const StepRuns> runs) const {
  if (batch.steps.size() != 1 || batch.rows != 1 || batch.logit_rows > 1) return false;
  const std::int64_t length = batch.steps.front().past + 1;
  if (window_ == 0 ? length > kMostDecodeKeys : std::min(length, window_) > kMostDecodeKeys) return false;
  return launcher_->launches(cache) && std::ranges::all_of(runs, [&](const StepRuns& layer) {
           return on_16_bytes(layer.held, dtype_size(cache));
         });
}

}  // namespace plumbline::native::cuda
