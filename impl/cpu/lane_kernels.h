// The kernels of impl/cpu/kernels.h, written once over a type L that holds 16 f32 lanes. Included by one unit
// per instruction set; the unnamed namespace gives each its own copy (see kernels.h for why that matters).
//
// L provides Vector, zero(), load(p), load_first(p, n) of floats, Bf16 and F16, widened, store(p, v),
// store_first(p, n, v), broadcast(x), add(a, b), fma(a, b, c) = a * b + c, sum(v) by the tree of kernels.h,
// prefetch(p), and the register tiles kRows x kOuts of products and kGroup x kGroupWide of weighted sums;
// where kAddsTogether, sum_outs(vectors, sums) for kOuts of them, too. Floats, Ints, Bits: one register of
// f32, i32, u32.
#pragma once

#include "impl/cpu/kernels.h"
#include "impl/cpu/lane_half.h"
#include "impl/cpu/lane_matmul.h"
#include "impl/cpu/lane_matmul_half.h"
#include "impl/cpu/lane_softmax.h"
#include "impl/cpu/lane_weighted_sum.h"

namespace plumbline::native {
namespace {

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

template <typename L>
constexpr Kernels make_kernels(const char* name) {
  using H = Half<L>;
  return {name,
          matmul<L>,
          matmul_half<L, Bf16>,
          matmul_half<L, F16>,
          sum_squares<L>,
          weighted_sum<L>,
          softmax<L>,
          H::template round<H::round_bf16>,
          H::template round<H::round_f16>};
}

}  // namespace
}  // namespace plumbline::native
