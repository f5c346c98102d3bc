// The kernels of impl/cpu/kernels.h, written once over a type L that holds 16 f32 lanes. Included by one unit
// per instruction set; the unnamed namespace gives each its own copy (see kernels.h for why that matters).
//
// L provides Vector, zero(), load(p), load_first(p, n), store(p, v), store_first(p, n, v), broadcast(x),
// add(a, b), fma(a, b, c) = a * b + c, sum(v) by the tree of kernels.h, and the register tile kRows x kOuts.
#pragma once

#include "impl/cpu/kernels.h"

namespace plumbline::native {
namespace {

constexpr std::int64_t kLanes = 16;
constexpr std::int64_t kKeyBlock = 32;
constexpr std::int64_t kPanelFloats = 48 * 1024;  // rows of x kept in the second-level cache

// Rows row .. row + kRows and outputs out .. out + kOuts, each with lanes of its own.
template <typename L, int kRows, int kOuts>
void matmul_tile(const MatmulArgs& args, std::int64_t row, std::int64_t out) {
  using Vector = typename L::Vector;
  const float* x = args.x + row * args.x_stride;
  const float* w = args.w + out * args.w_stride;
  Vector sums[kRows][kOuts];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int o = 0; o < kOuts; ++o) sums[r][o] = L::zero();
  }
  const std::int64_t whole = args.depth - args.depth % kLanes;
  for (std::int64_t k = 0; k < whole; k += kLanes) {
    Vector weights[kOuts];
#pragma GCC unroll 8
    for (int o = 0; o < kOuts; ++o) weights[o] = L::load(w + o * args.w_stride + k);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Vector value = L::load(x + r * args.x_stride + k);
#pragma GCC unroll 8
      for (int o = 0; o < kOuts; ++o) sums[r][o] = L::fma(value, weights[o], sums[r][o]);
    }
  }
  const std::int64_t rest = args.depth - whole;
  if (rest > 0) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Vector value = L::load_first(x + r * args.x_stride + whole, rest);
#pragma GCC unroll 8
      for (int o = 0; o < kOuts; ++o) {
        sums[r][o] = L::fma(value, L::load_first(w + o * args.w_stride + whole, rest), sums[r][o]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    float* y = args.y + (row + r) * args.y_stride + out;
#pragma GCC unroll 8
    for (int o = 0; o < kOuts; ++o) {
      const float sum = L::sum(sums[r][o]);
      y[o] = args.bias == nullptr ? sum : sum + args.bias[out + o];
    }
  }
}

template <typename L, int kOuts>
void matmul_rows(const MatmulArgs& args, std::int64_t first_row, std::int64_t last_row, std::int64_t out) {
  std::int64_t row = first_row;
  for (; row + L::kRows <= last_row; row += L::kRows) matmul_tile<L, L::kRows, kOuts>(args, row, out);
  for (; row < last_row; ++row) matmul_tile<L, 1, kOuts>(args, row, out);
}

// Panels of rows that stay in cache while the weights stream past.
template <typename L>
void matmul(const MatmulArgs& args) {
  std::int64_t panel = kPanelFloats / (args.depth > 0 ? args.depth : 1);
  panel -= panel % L::kRows;
  if (panel < 2 * L::kRows) panel = 2 * L::kRows;
  for (std::int64_t first = 0; first < args.rows; first += panel) {
    const std::int64_t last = first + panel < args.rows ? first + panel : args.rows;
    std::int64_t out = 0;
    for (; out + L::kOuts <= args.outs; out += L::kOuts) matmul_rows<L, L::kOuts>(args, first, last, out);
    for (; out < args.outs; ++out) matmul_rows<L, 1>(args, first, last, out);
  }
}

template <typename L>
float sum_squares(const float* x, std::int64_t count) {
  typename L::Vector sum = L::zero();
  const std::int64_t whole = count - count % kLanes;
  for (std::int64_t k = 0; k < whole; k += kLanes) {
    const typename L::Vector value = L::load(x + k);
    sum = L::fma(value, value, sum);
  }
  if (whole < count) {
    const typename L::Vector value = L::load_first(x + whole, count - whole);
    sum = L::fma(value, value, sum);
  }
  return L::sum(sum);
}

// kWide groups of 16 features from `first` on; the last group of a row may hold fewer, `last_count`.
template <typename L, int kWide>
void weighted_sum_part(const WeightedSumArgs& args, std::int64_t first, std::int64_t last_count) {
  using Vector = typename L::Vector;
  const bool whole = last_count == kLanes;
  Vector totals[kWide];
#pragma GCC unroll 8
  for (int g = 0; g < kWide; ++g) totals[g] = L::zero();
  for (std::int64_t begin = args.begin; begin < args.end;) {
    const std::int64_t block_end = (begin / kKeyBlock + 1) * kKeyBlock;
    const std::int64_t end = block_end < args.end ? block_end : args.end;
    Vector block[kWide];
#pragma GCC unroll 8
    for (int g = 0; g < kWide; ++g) block[g] = L::zero();
    for (std::int64_t key = begin; key < end; ++key) {
      const Vector weight = L::broadcast(args.weights[key]);
      const float* value = args.values + key * args.value_stride + first;
#pragma GCC unroll 8
      for (int g = 0; g < kWide; ++g) {
        const Vector loaded =
            whole ? L::load(value + g * kLanes) : L::load_first(value + g * kLanes, last_count);
        block[g] = L::fma(weight, loaded, block[g]);
      }
    }
#pragma GCC unroll 8
    for (int g = 0; g < kWide; ++g) totals[g] = L::add(totals[g], block[g]);
    begin = end;
  }
#pragma GCC unroll 8
  for (int g = 0; g < kWide; ++g) {
    float* out = args.out + first + g * kLanes;
    if (whole) {
      L::store(out, totals[g]);
    } else {
      L::store_first(out, last_count, totals[g]);
    }
  }
}

template <typename L>
void weighted_sum(const WeightedSumArgs& args) {
  std::int64_t first = 0;
  for (; first + 4 * kLanes <= args.dim; first += 4 * kLanes) weighted_sum_part<L, 4>(args, first, kLanes);
  for (; first + kLanes <= args.dim; first += kLanes) weighted_sum_part<L, 1>(args, first, kLanes);
  if (first < args.dim) weighted_sum_part<L, 1>(args, first, args.dim - first);
}

template <typename L>
constexpr Kernels make_kernels(const char* name) {
  return {name, matmul<L>, sum_squares<L>, weighted_sum<L>};
}

}  // namespace
}  // namespace plumbline::native
