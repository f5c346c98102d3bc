// Which keys a query may see: the one place that decides it, for attention and for the mask probe. Beside it
// the forms in which other engines state the same, with what goes wrong in them.
#pragma once

#include <cstdint>
#include <optional>

#include "harness/tensor.h"

namespace plumbline::native {

struct KeyRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;  // exclusive
};

// The keys that the query at `query_position` of its sequence sees. Both count from the sequence's first
// token, whatever its rotary positions are. Causal; with a window of W it sees exactly W keys, itself
// included: key > query - W.
KeyRange allowed_keys(std::int64_t query_position, std::optional<std::int64_t> window);

bool allowed(std::int64_t query_position_in_sequence, std::int64_t key_index,
             std::optional<std::int64_t> window);

// [queries, past + queries] booleans; query i sits at past + i, so the diagonal ends at the bottom right.
// Throws Error for a mask without queries, a negative past, a window below 1, and sizes that 64 bits cannot
// hold; so do the functions below for tensors without elements.
Tensor allowed_mask(std::int64_t queries, std::int64_t past, std::optional<std::int64_t> window);

// The same mask for every sequence, [batch, 1, queries, keys]: a view, nothing is copied.
TensorView over_batch(const TensorView& mask, std::int64_t batch);

// A batch filled up at its left, as other engines lay it out (ours is ragged). real: booleans [batch, keys],
// true at tokens -> booleans [batch, queries, keys] of the last `queries` places: causal, within the window,
// and no pad is seen. A pad itself sees nothing where only pads stand before it.
Tensor padded_mask(const TensorView& real, std::int64_t queries, std::optional<std::int64_t> window);

// What is added to a score in order to forbid it.
enum class MaskForm : std::uint8_t { minus_1e9, minus_infinity, lowest_finite };

// 0 where `allowed` is true, else the form's value rounded to `dtype` (f32, bf16, f16): in f16, whose largest
// number is 65504, -1e9 is -infinity. The shape of `allowed`.
Tensor additive_mask(const TensorView& allowed, MaskForm form, DType dtype);

// x + mask, rounded to their dtype: of scores [.., queries, keys], or of two masks. The mask's shape is that
// of x, or of its last axes, and is repeated over the others. Two lowest finite masks make -infinity; in f16
// one of them does, beside a score of -16 or less.
Tensor add_mask(const TensorView& x, const TensorView& mask);

// f32 softmax over the last axis of scores that hold an additive mask. Of a row in which everything is
// forbidden: NaN for -infinity; for the finite forms, which swallow the scores, the same weight everywhere,
// the future and the pads included.
Tensor masked_softmax(const TensorView& masked_scores);

// The same by the mask itself, repeated as in add_mask: a forbidden place weighs 0, and so does every place
// of a row in which all are forbidden. This is what the native engine means by a mask.
Tensor allowed_softmax(const TensorView& scores, const TensorView& allowed);

}  // namespace plumbline::native
