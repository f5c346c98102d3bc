// Rotary position embedding (https://arxiv.org/abs/2104.09864) as Qwen2 uses it: the two halves of a head are
// rotated against each other, not neighbouring pairs. transformers: Qwen2RotaryEmbedding,
// apply_rotary_pos_emb.
#pragma once

#include <cstdint>
#include <span>

#include "impl/cpu/context.h"

namespace plumbline::native {

// cos, sin: [positions, head_dim], the second half repeats the first; inv_freq: [head_dim / 2]. The angle is
// the f32 product of position and frequency; its cosine and sine are rounded to f32, then multiplied by
// `factor` (YaRN's attention factor, else 1). Throws Error for a position that check_positions refuses.
void cos_sin(std::span<const std::int64_t> positions, std::span<const float> inv_freq, float factor,
             float* cos, float* sin);

// In place. x: [tokens, heads, head_dim]; cos, sin: [tokens, head_dim].
// x1' = x1 cos - x2 sin, x2' = x2 cos + x1 sin, with x1 and x2 the halves of a head; in f32, left as
// CpuContext::store leaves it.
void rope(const CpuContext& context, float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_dim,
          const float* cos, const float* sin);

}  // namespace plumbline::native
