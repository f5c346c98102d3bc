// The kernels of impl/cpu/kernels.h, written once over a type L that holds 16 f32 lanes. Included by one unit
// per instruction set; the unnamed namespace gives each its own copy (see kernels.h for why that matters).
//
// L provides Vector, zero(), load(p), load_first(p, n), store(p, v), store_first(p, n, v), broadcast(x),
// add(a, b), fma(a, b, c) = a * b + c, sum(v) by the tree of kernels.h, prefetch(p), and the register tile
// kRows x kOuts; where kAddsFour, sum_four(vectors, sums) too.
#pragma once

#include "impl/cpu/kernels.h"
#include "impl/cpu/lane_matmul.h"

namespace plumbline::native {
namespace {

constexpr std::int64_t kKeyBlock = 32;

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
  const ValueRun* run = args.runs;
  std::int64_t run_begin = 0;
  for (std::int64_t begin = args.begin; begin < args.end;) {
    const std::int64_t block_end = (begin / kKeyBlock + 1) * kKeyBlock;
    const std::int64_t end = block_end < args.end ? block_end : args.end;
    Vector block[kWide];
#pragma GCC unroll 8
    for (int g = 0; g < kWide; ++g) block[g] = L::zero();
    for (std::int64_t key = begin; key < end;) {
      for (; key >= run_begin + run->keys; ++run) run_begin += run->keys;
      const std::int64_t stop = run_begin + run->keys < end ? run_begin + run->keys : end;
      const float* value = run->values + (key - run_begin) * run->stride + first;
      const std::int64_t stride = run->stride;
      for (; key < stop; ++key, value += stride) {
        const Vector weight = L::broadcast(args.weights[key]);
#pragma GCC unroll 8
        for (int g = 0; g < kWide; ++g) {
          const Vector loaded =
              whole ? L::load(value + g * kLanes) : L::load_first(value + g * kLanes, last_count);
          block[g] = L::fma(weight, loaded, block[g]);
        }
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
