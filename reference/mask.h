// What a query may attend to, and which position each token has.
#pragma once

#include <cstdint>
#include <optional>

#include "harness/tensor.h"

namespace plumbline::reference {

// Boolean [queries, past + queries]: query i, at place q = past + i of its sequence, sees keys k <= q, and
// with a window W only k > q - W (W keys, itself included). Throws Error for no queries, a negative past, a
// window below 1, and more elements than 64 bits count.
Tensor allowed_mask(std::int64_t queries, std::int64_t past, std::optional<std::int64_t> window);

// [queries, keys] -> [batch, 1, queries, keys]: the same for each sequence, copied. Throws Error for an empty
// mask or batch.
Tensor expanded_mask(const TensorView& mask, std::int64_t batch);

// real: boolean [batch, keys], true at tokens -> boolean [batch, queries, keys], of the last `queries`
// places: causal, in the window, and never a pad. Throws Error for an empty mask and for queries that it has
// not.
Tensor padded_mask(const TensorView& real, std::int64_t queries, std::optional<std::int64_t> window);

enum class Forbidding { minus_1e9, minus_infinity, lowest_finite };

// Like `allowed`, in `dtype` (f32, bf16, f16): 0 where it is true, elsewhere the number in that type. Throws
// Error for an empty mask, and for a type that is none of these.
Tensor additive_mask(const TensorView& allowed, Forbidding form, DType dtype);

// x + mask in their common type, as eager attention in transformers adds them; the mask is broadcast over x's
// first axes. Throws Error where types or shapes do not fit.
Tensor add_mask(const TensorView& x, const TensorView& mask);

// f32: softmax over the last axis of scores with an additive mask. Rows of -infinity give NaN.
Tensor masked_softmax(const TensorView& masked_scores);

// f32: softmax of floating scores over the allowed keys, 0 elsewhere; rows that allow nothing are 0.
// `allowed` is broadcast as in add_mask.
Tensor allowed_softmax(const TensorView& scores, const TensorView& allowed);

// i64 [tokens]: past, past + 1, …. Throws Error for negative counts, and beyond 2^24, to which f32 counts.
Tensor position_ids(std::int64_t past, std::int64_t tokens);

// mask: boolean [batch, length], true at real tokens -> i64 [batch, length]: cumsum(mask) - 1. Pads before
// the first real token have -1, pads between have the last position: compare real tokens only. Throws Error
// for an empty mask and for a row without real tokens.
Tensor left_padded_positions(const TensorView& mask);

}  // namespace plumbline::reference
