// The frequencies of rotary positions, for any device. transformers: Qwen2RotaryEmbedding; YaRN:
// modeling_rope_utils._compute_yarn_parameters.
#pragma once

#include <vector>

#include "harness/model.h"

namespace plumbline::native {

// [head_dim / 2]: theta^(-2i / head_dim) in f32, as the formula of transformers; for YaRN, the blend of
// extrapolated and interpolated frequencies.
std::vector<float> inverse_frequencies(const ModelConfig& config);

}  // namespace plumbline::native
