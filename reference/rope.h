// Rotary position embedding (arXiv 2104.09864) as Qwen2 uses it: halves rotated, not neighbouring pairs; with
// YaRN (arXiv 2309.00071) where the config asks for it.
#pragma once

#include <cstdint>
#include <span>

#include "harness/model.h"
#include "harness/tensor.h"

namespace plumbline::reference {

// f32 [head_dim / 2]: 1 / theta^(2i / head_dim), computed in f32 as transformers does; YaRN's ramps included.
Tensor inv_freq(const ModelConfig& config);

// [tokens, head_dim] each.
struct CosSin {
  Tensor cos;
  Tensor sin;
};

// Of the f32 product position * inv_freq, taken in f32 or f64 and multiplied by the attention factor. dtype:
// f32 or f64 (other types: InternalError). Throws Error for a negative position.
CosSin cos_sin(const ModelConfig& config, std::span<const std::int64_t> positions, DType dtype);

// x: [tokens, heads, head_dim]; cos, sin: [tokens, head_dim], all of one floating dtype. Same shape as x.
// Throws InternalError for shapes that do not fit.
Tensor rotate(const TensorView& x, const TensorView& cos, const TensorView& sin);

}  // namespace plumbline::reference
