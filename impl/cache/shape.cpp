#include "impl/cache/shape.h"

#include <algorithm>

namespace plumbline::native {

CacheShape cache_shape(const ModelConfig& config) {
  const bool slides = std::ranges::count(config.layer_types, LayerType::sliding_attention) > 0;
  return {static_cast<int>(config.num_hidden_layers), config.num_key_value_heads, config.head_dim, slides};
}

}  // namespace plumbline::native
