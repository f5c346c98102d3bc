// measure_error's inner loops: sums over blocks of elements that lie in a row, four lanes side by side, one
// function for each instruction set with the same results.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "harness/dtype.h"

namespace plumbline::lanes {

inline constexpr int kLanes = 4;
using Lanes = double __attribute__((vector_size(kLanes * sizeof(double))));
using Flags = std::int64_t __attribute__((vector_size(kLanes * sizeof(double))));
using Bits = std::uint64_t __attribute__((vector_size(kLanes * sizeof(double))));
using Narrow = float __attribute__((vector_size(kLanes * sizeof(float))));
using Singles = float __attribute__((vector_size(2 * kLanes * sizeof(float))));
using SingleFlags = std::int32_t __attribute__((vector_size(2 * kLanes * sizeof(float))));

// One over the spacing of a dtype at y, made from y's exponent: of y's bits those of the exponent, at least
// `least` (below the smallest normal value the spacing stays), taken from `reciprocal`.
struct Spacing {
  explicit Spacing(DType dtype) {
    const double at_one = 2 * half_spacing(1.0, dtype);
    least = std::bit_cast<std::int64_t>(2 * half_spacing(0, dtype) / at_one);
    reciprocal = std::bit_cast<std::uint64_t>(1.0) + std::bit_cast<std::uint64_t>(1 / at_one);
  }
  std::int64_t least;
  std::uint64_t reciprocal;  // reaches into the sign, from where the exponent of y takes it back
};

// What is added up over elements that are finite on both sides.
struct Sums {
  Lanes abs{}, squares{}, expected{}, actual{}, product{}, largest{}, largest_expected{}, ulp{};
  Flags different{};  // counts
};

// Of f32 elements, in f32: the largest of each. Where `relative` is below 1, x lies between y / 2 and 2 y,
// and x - y is exact (Sterbenz). Elsewhere it is rounded, which keeps the order: what is largest in truth is
// among those that are largest here.
struct Extremes {
  Singles error{};     // |x - y|, infinite where f32 cannot hold it
  Singles rounded{};   // the same of elements whose difference may not be exact
  Singles relative{};  // |x - y| over half of the largest power of two up to |y|
  Singles expected{};  // |y|
  SingleFlags different{};
};

// Of `count` elements each; all add to what is there.
// f32 both: into `sums` go the sums alone, the rest into `found`.
void add_f32_f32(const float* x, const float* y, std::size_t count, Extremes& found, Sums& sums);
// f32 both: what is largest alone, in f64.
void raise_f32_f32(const float* x, const float* y, std::size_t count, const Spacing& spacing, Sums& sums);
void add_f32_f64(const float* x, const double* y, std::size_t count, const Spacing& spacing, Sums& sums);
void add_f64_f64(const double* x, const double* y, std::size_t count, const Spacing& spacing, Sums& sums);

void merge(Sums& into, const Sums& more);
bool all_finite(const Sums& sums);  // whether every element was: no square of an f32 overflows in f64
double most(const Lanes& lanes);
float most(const Singles& lanes);
double total(const Lanes& lanes);

}  // namespace plumbline::lanes
