// Sums of values by weight, for several rows of weights at a time: part of impl/cpu/lane_kernels.h, which
// says what L is.
#pragma once

#include "impl/cpu/lane_matmul.h"

namespace plumbline::native {
namespace {

constexpr std::int64_t kKeyBlock = 32;

// Keys [begin, end) of one block. `run` holds the first of them, and begins at key `run_begin`.
struct KeyBlock {
  std::int64_t begin;
  std::int64_t end;
  const ValueRun* run;
  std::int64_t run_begin;
};

// Adds a block's sums to out: kRows rows from `row` on, kWide groups of 16 features from `first` on; the last
// group of a row may hold fewer, `last_count`. kAhead: asks for the next block's values meanwhile.
template <typename L, int kRows, int kWide, bool kAhead>
void weighted_tile(const WeightedSumArgs& args, const KeyBlock& block, std::int64_t row, std::int64_t first,
                   std::int64_t last_count) {
  using Vector = typename L::Vector;
  const bool whole = last_count == kLanes;
  Vector sums[kRows][kWide];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int g = 0; g < kWide; ++g) sums[r][g] = L::zero();
  }
  const ValueRun* run = block.run;
  std::int64_t run_begin = block.run_begin;
  for (std::int64_t key = block.begin; key < block.end;) {
    for (; key >= run_begin + run->keys; ++run) run_begin += run->keys;
    const std::int64_t run_end = run_begin + run->keys;
    const std::int64_t stop = run_end < block.end ? run_end : block.end;
    const std::int64_t stride = run->stride;
    const float* value = run->values + (key - run_begin) * stride + first;
    const float* ahead = args.ahead == nullptr ? value : args.ahead + (key - args.begin) * args.dim + first;
    const std::int64_t ahead_stride = args.ahead == nullptr ? stride : args.dim;
    const float* weights = args.weights + row * args.weights_stride;
    for (; key < stop; ++key, value += stride, ahead += ahead_stride) {
      Vector weight[kRows];
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) weight[r] = L::broadcast(weights[r * args.weights_stride + key]);
#pragma GCC unroll 8
      for (int g = 0; g < kWide; ++g) {
        const float* from = value + g * kLanes;
        const Vector loaded = whole ? L::load(from) : L::load_first(from, last_count);
        if constexpr (kAhead) L::prefetch(ahead + g * kLanes);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) sums[r][g] = L::fma(weight[r], loaded, sums[r][g]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int g = 0; g < kWide; ++g) {
      float* out = args.out + (row + r) * args.out_stride + first + g * kLanes;
      if (whole) {
        L::store(out, L::add(L::load(out), sums[r][g]));
      } else {
        L::store_first(out, last_count, L::add(L::load_first(out, last_count), sums[r][g]));
      }
    }
  }
}

// All features of `rows` rows, which are 1 to kMost.
template <typename L, int kMost, bool kAhead>
void weighted_rows(const WeightedSumArgs& args, const KeyBlock& block, std::int64_t row, std::int64_t rows) {
  if constexpr (kMost > 1) {
    if (rows < kMost) return weighted_rows<L, kMost - 1, kAhead>(args, block, row, rows);
  }
  constexpr int kWide = kMost == 1 ? 4 : L::kGroupWide;
  std::int64_t first = 0;
  for (; first + kWide * kLanes <= args.dim; first += kWide * kLanes)
    weighted_tile<L, kMost, kWide, kAhead>(args, block, row, first, kLanes);
  for (; first + kLanes <= args.dim; first += kLanes)
    weighted_tile<L, kMost, 1, kAhead>(args, block, row, first, kLanes);
  if (first < args.dim) weighted_tile<L, kMost, 1, kAhead>(args, block, row, first, args.dim - first);
}

template <typename L>
void weighted_sum(const WeightedSumArgs& args) {
  KeyBlock block{args.begin, args.begin, args.runs, 0};
  for (; block.begin < args.end; block.begin = block.end) {
    const std::int64_t end = (block.begin / kKeyBlock + 1) * kKeyBlock;
    block.end = end < args.end ? end : args.end;
    for (; block.begin >= block.run_begin + block.run->keys; ++block.run) block.run_begin += block.run->keys;
    // Parts of about as many rows.
    std::int64_t parts = (args.rows + L::kGroup - 1) / L::kGroup;
    for (std::int64_t row = 0; row < args.rows; --parts) {
      const std::int64_t rows = (args.rows - row + parts - 1) / parts;
      if (row == 0) {
        weighted_rows<L, L::kGroup, true>(args, block, row, rows);
      } else {
        weighted_rows<L, L::kGroup, false>(args, block, row, rows);
      }
      row += rows;
    }
  }
}

}  // namespace
}  // namespace plumbline::native
