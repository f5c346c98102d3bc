#include "bench/cuda_limits.h"

#include <algorithm>

namespace plumbline::bench {
namespace {

constexpr Target kTargets[] = {{896, 0.55, std::nullopt}, {1536, 0.70, std::nullopt}, {3584, 0.85, 0.60}};

}  // namespace

const Target* target_of(const ModelConfig& config) {
  const auto* const found = std::ranges::find(kTargets, config.hidden_size, &Target::hidden);
  return found == std::end(kTargets) ? nullptr : found;
}

Sizes sizes_of(const ModelConfig& config) {
  const auto hidden = static_cast<double>(config.hidden_size);
  const auto layers = static_cast<double>(config.num_hidden_layers);
  const auto query = static_cast<double>(config.num_attention_heads * config.head_dim);
  const auto key_value = static_cast<double>(config.num_key_value_heads * config.head_dim);
  const double attention = 2 * hidden * query + 2 * hidden * key_value;
  const double mlp = 3 * hidden * static_cast<double>(config.intermediate_size);
  const double small = query + 2 * key_value + 2 * hidden;  // biases, norms
  const double head = hidden * static_cast<double>(config.vocab_size);
  Sizes sizes{};
  sizes.layer_weights = layers * (attention + mlp);
  const double held = static_cast<double>(kPrompt) + static_cast<double>(kDecoded) / 2;
  sizes.decode_bytes =
      2 * (sizes.layer_weights + layers * small + head + 2 * hidden + layers * 2 * key_value * held);
  const auto tokens = static_cast<double>(kPrefill);
  sizes.prefill_operations =
      2 * tokens * sizes.layer_weights + layers * 2 * query * tokens * (tokens + 1) + 2 * head;
  return sizes;
}

}  // namespace plumbline::bench
