// Weights of a warp's rows as tensor cores take them; for .cu files.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "impl/cuda/attention/mma.cuh"
#include "impl/cuda/prefetch.cuh"
#include "impl/cuda/vectors.h"

namespace plumbline::native::cuda {

inline constexpr int kKeySteps = static_cast<int>(kKeyBlock) / kMmaDepth;

// The lane's two rows: where their weights of a block of keys are, and which of those keys they see, counted
// from its first: the `span` before `to`, which may reach beyond the block.
struct LaneRows {
  const float* probs[kLaneRows];
  int to[kLaneRows];
  int span;

  __device__ __forceinline__ int from(int r) const { return to[r] - span; }
  __device__ __forceinline__ bool see_all() const {
    return from(0) <= 0 && from(1) <= 0 && to[0] >= kKeyBlock && to[1] >= kKeyBlock;
  }
  __device__ __forceinline__ void to_next_block() {
#pragma unroll
    for (int r = 0; r < kLaneRows; ++r) {
      probs[r] += kKeyBlock;
      to[r] -= static_cast<int>(kKeyBlock);
    }
  }
};
__device__ __forceinline__ LaneRows find_lane_rows(const AttentionLayer& layer, const MmaBlock& block,
                                                   std::int64_t begin, const float* probs) {
  constexpr int kEndless = 1 << 30;
  LaneRows rows;
  rows.span = layer.window > 0 && layer.window < kEndless ? static_cast<int>(layer.window) : kEndless;
#pragma unroll
  for (int r = 0; r < kLaneRows; ++r) {
    rows.probs[r] = probs + block.scores(r) + begin;
    rows.to[r] = static_cast<int>(keys_of_query(block.tile, block.at(r).query, layer.window).end - begin);
  }
  return rows;
}

// The weights of the next block into the second cache, half a row by each lane of four: they are read only
// when this one is done, for want of registers.
__device__ __forceinline__ void prefetch_weights(const LaneRows& rows, int t) {
  const int key = static_cast<int>(kKeyBlock) + t % 2 * static_cast<int>(kKeyBlock) / 2;
  const float* row = t < 2 ? rows.probs[0] : rows.probs[1];
  if (key < (t < 2 ? rows.to[0] : rows.to[1])) prefetch(row + key);
}

// Of each 16 keys the lane's 4t, ..., 4t + 3.
struct LaneWeights {
  Vector<float, 4> values[kLaneRows][kKeySteps];
};
// Of a block of keys; 0 where forbidden, since what is there was not written. `together`: the rows
// see them all, and begin on 16 bytes.
__device__ __forceinline__ LaneWeights read_weights(const LaneRows& rows, int t, bool together) {
  LaneWeights weights;
#pragma unroll
  for (int r = 0; r < kLaneRows; ++r) {
#pragma unroll
    for (int step = 0; step < kKeySteps; ++step) {
      const int key = step * kMmaDepth + t * 4;
      if (together) {
        weights.values[r][step] = read_vector<float, 4>(rows.probs[r] + key);
        continue;
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const bool allowed = key + i >= rows.from(r) && key + i < rows.to[r];
        weights.values[r][step].values[i] = allowed ? rows.probs[r][key + i] : 0.0f;
      }
    }
  }
  return weights;
}

// As fragments of a: [term][16 keys].
struct WeightFragments {
  std::uint32_t words[kWeightTerms][kKeySteps][4];
};
__device__ __forceinline__ WeightFragments fragments_of(const LaneWeights& weights) {
  WeightFragments fragments;
#pragma unroll
  for (int step = 0; step < kKeySteps; ++step) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const Vector<float, 4>& own = weights.values[i % 2][step];
      const WeightTerms terms = terms_of(own.values[i / 2 * 2], own.values[i / 2 * 2 + 1]);
#pragma unroll
      for (int term = 0; term < kWeightTerms; ++term) fragments.words[term][step][i] = terms.pairs[term];
    }
  }
  return fragments;
}

// The lowest `count` bits.
__device__ __forceinline__ std::uint64_t lowest_bits(int count) {
  if (count <= 0) return 0;
  return count >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
}
// Which of the lane's rows see one of the keys whose values are not all finite: a bit for each.
__device__ __forceinline__ unsigned see_not_finite(const LaneRows& rows, const std::uint32_t* not_finite) {
  const std::uint64_t keys = std::uint64_t{not_finite[1]} << 32 | not_finite[0];
  unsigned see = 0;
  if (keys == 0) return see;
#pragma unroll
  for (int r = 0; r < kLaneRows; ++r) {
    const std::uint64_t seen = lowest_bits(rows.to[r]) & ~lowest_bits(rows.from(r));
    see |= (keys & seen) != 0 ? 1u << r : 0u;
  }
  return see;
}

// Tensor cores are given nothing of rows that sum in order.
__device__ __forceinline__ void clear_rows(LaneWeights& weights, unsigned rows) {
#pragma unroll
  for (int r = 0; r < kLaneRows; ++r) {
    if ((rows >> r & 1u) == 0) continue;
#pragma unroll
    for (int step = 0; step < kKeySteps; ++step) weights.values[r][step] = {};
  }
}

}  // namespace plumbline::native::cuda
