// Sums of values by weight over one block of keys, from shared memory; for .cu files.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "impl/cuda/attention/tile.h"

namespace plumbline::native::cuda {

inline constexpr int kQuad = 4;  // features of a thread

template <int kRows>
struct alignas(kRows < 4 ? 4 * kRows : 16) Weights {
  float values[kRows];
};

// One block's sums, added to the totals. Where kMasked a row takes only the keys [from, to) of the block: a
// value that it may not see, though its weight is 0, may be NaN.
template <int kRows, bool kMasked>
__device__ __forceinline__ void add_block(const float* values, const float* probs,
                                          const ContextLayout& layout, const int (&from)[kRows],
                                          const int (&to)[kRows], float (&totals)[kRows][kQuad]) {
  float sums[kRows][kQuad] = {};
#pragma unroll 4
  for (int key = 0; key < kKeyBlock; ++key) {
    const auto value = *reinterpret_cast<const Weights<kQuad>*>(values + key * layout.value_width);
    const auto weight = *reinterpret_cast<const Weights<kRows>*>(probs + key * layout.prob_width);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const bool allowed = !kMasked || (key >= from[r] && key < to[r]);
#pragma unroll
      for (int f = 0; f < kQuad; ++f) {
        const float next = fmaf(weight.values[r], value.values[f], sums[r][f]);
        sums[r][f] = allowed ? next : sums[r][f];
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int f = 0; f < kQuad; ++f) totals[r][f] += sums[r][f];
  }
}

// The keys from `first` on, staged; whether all rows of the tile see all of them is the same for the block.
template <int kRows>
__device__ __forceinline__ void add_keys(KeySpan by_all, const ContextRow* rows, std::int64_t first,
                                         const float* values, const float* probs, const ContextLayout& layout,
                                         float (&totals)[kRows][kQuad]) {
  int from[kRows] = {}, to[kRows] = {};
  if (by_all.begin <= first && first + kKeyBlock <= by_all.end) {
    add_block<kRows, false>(values, probs, layout, from, to, totals);
    return;
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const KeySpan own = in_block(rows[r].keys, first);
    from[r] = static_cast<int>(own.begin - first);
    to[r] = own.end > first ? static_cast<int>(own.end - first) : 0;
  }
  add_block<kRows, true>(values, probs, layout, from, to, totals);
}

}  // namespace plumbline::native::cuda
