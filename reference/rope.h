// Rotary position embedding (arXiv 2104.09864) as Qwen2 uses it: halves rotated, not neighbouring pairs; with
// YaRN (arXiv 2309.00071) where the config asks for it.
#pragma once

#include <cstdint>
#include <span>

#include "harness/model.h"
#include "harness/tensor.h"

namespace plumbline::reference {

// Whole numbers are exact in f32 up to here: positions beyond share their angles.
inline constexpr std::int64_t kLargestPosition = std::int64_t{1} << 24;

// f32 [head_dim / 2]: 1 / theta^(2i / head_dim), computed in f32 as transformers does; YaRN's ramps included.
Tensor inv_freq(const ModelConfig& config);

// [tokens, head_dim] each.
struct CosSin {
  Tensor cos;
  Tensor sin;
};

// Of the f32 product position * inv_freq, taken in f32 or f64 and multiplied by the attention factor. dtype:
// f32 or f64 (other types: InternalError). Throws Error for a position that is negative or beyond
// kLargestPosition.
CosSin cos_sin(const ModelConfig& config, std::span<const std::int64_t> positions, DType dtype);

// Of the real angle, position times frequency in f64, [positions, head_dim] each: what an f32 engine comes
// near to, and is not judged by. Throws like cos_sin.
CosSin real_cos_sin(const ModelConfig& config, std::span<const std::int64_t> positions);

// x: [tokens, heads, head_dim]; cos, sin: [tokens, head_dim], all of one floating dtype. Same shape as x.
// Throws InternalError for shapes that do not fit.
Tensor rotate(const TensorView& x, const TensorView& cos, const TensorView& sin);

}  // namespace plumbline::reference
