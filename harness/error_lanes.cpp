#include "harness/error_lanes.h"

#include <algorithm>
#include <array>
#include <cmath>

// One function for each instruction set, chosen when the program starts. -ffp-contract=off keeps their
// results the same.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define PLUMBLINE_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#define PLUMBLINE_VERSIONS
#else
#define PLUMBLINE_CLONES
#endif

namespace plumbline::lanes {
namespace {

constexpr std::int64_t kExponent = 0x7ff0000000000000;
constexpr std::int64_t kMagnitude = 0x7fffffffffffffff;
constexpr std::int32_t kExponentF32 = 0x7f800000;
constexpr std::int32_t kLeastF32 = 0x00800000;  // the exponent of the smallest normal value
constexpr std::int32_t kMagnitudeF32 = 0x7fffffff;

void raise(Lanes& to, const Lanes& value) {
  to = value > to ? value : to;
}

// Whether sums of products are fused: to be done only where the machine can, and where x and y were f32. Then
// each product is exact in f64 (2 * 24 <= 53 bits), and the fused sum has the bits of the other.
enum class Fused { no, yes };

template <Fused fused>
[[gnu::always_inline]] inline void add_product(const Lanes& x, const Lanes& y, Lanes& sum) {
  if constexpr (fused == Fused::yes) {
    for (int lane = 0; lane < kLanes; ++lane) sum[lane] = __builtin_fma(x[lane], y[lane], sum[lane]);
  } else {
    sum += x * y;
  }
}

template <Fused fused>
[[gnu::always_inline]] inline void add_to_sums(const Lanes& x, const Lanes& y, Sums& sums) {
  const Lanes difference = x - y;
  sums.abs += (Lanes)((Flags)difference & kMagnitude);
  sums.squares += difference * difference;
  add_product<fused>(y, y, sums.expected);
  add_product<fused>(x, x, sums.actual);
  add_product<fused>(x, y, sums.product);
}

[[gnu::always_inline]] inline void raise_largest(const Lanes& x, const Lanes& y, const Spacing& spacing,
                                                 Sums& sums) {
  const Lanes error = (Lanes)((Flags)(x - y) & kMagnitude);
  const Flags exponent = (Flags)y & kExponent;
  const Flags kept = exponent > spacing.least ? exponent : Flags{} + spacing.least;
  const Lanes in_ulp = error * (Lanes)(spacing.reciprocal - (Bits)kept);
  sums.largest = error > sums.largest ? error : sums.largest;
  sums.ulp = in_ulp > sums.ulp ? in_ulp : sums.ulp;
}

[[gnu::always_inline]] inline void add_lanes(const Lanes& x, const Lanes& y, const Spacing& spacing,
                                             Sums& sums) {
  const Lanes size = (Lanes)((Flags)y & kMagnitude);
  add_to_sums<Fused::no>(x, y, sums);
  raise_largest(x, y, spacing, sums);
  sums.largest_expected = size > sums.largest_expected ? size : sums.largest_expected;
  sums.different -= x != y;
}

[[gnu::always_inline]] inline void add_singles(const Singles& x, const Singles& y, Extremes& found) {
  const Singles error = (Singles)((SingleFlags)(x - y) & kMagnitudeF32);
  const Singles size = (Singles)((SingleFlags)y & kMagnitudeF32);
  const SingleFlags exponent = (SingleFlags)y & kExponentF32;
  const SingleFlags kept = exponent > kLeastF32 ? exponent : SingleFlags{} + kLeastF32;
  const Singles relative = error * (Singles)(kExponentF32 - kept);
  const Singles rounded = relative >= 1 ? error : Singles{};
  found.error = error > found.error ? error : found.error;
  found.rounded = rounded > found.rounded ? rounded : found.rounded;
  found.relative = relative > found.relative ? relative : found.relative;
  found.expected = size > found.expected ? size : found.expected;
  found.different -= x != y;
}

[[gnu::always_inline]] inline void load(Lanes& to, const float* from) {
  Narrow values;
  __builtin_memcpy(&values, from, sizeof values);
  to = __builtin_convertvector(values, Lanes);
}
[[gnu::always_inline]] inline void load(Lanes& to, const double* from) {
  __builtin_memcpy(&to, from, sizeof to);
}

// A tail shorter than the lanes is filled up with equal numbers, 0 and 0, that change nothing.
template <typename X, typename Y>
[[gnu::always_inline]] inline void add_block(const X* x, const Y* y, std::size_t count,
                                             const Spacing& spacing, Sums& result) {
  Sums sums = result;  // its own copy, which nothing else can point to: it stays in registers
  Lanes left, right;
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    load(left, x + i);
    load(right, y + i);
    add_lanes(left, right, spacing, sums);
  }
  if (i < count) {
    std::array<double, kLanes> last_x{}, last_y{};
    std::copy(x + i, x + count, last_x.begin());
    std::copy(y + i, y + count, last_y.begin());
    load(left, last_x.data());
    load(right, last_y.data());
    add_lanes(left, right, spacing, sums);
  }
  result = sums;
}

template <Fused fused>
[[gnu::always_inline]] inline void add_both(const float* x, const float* y, Extremes& found, Sums& sums) {
  Singles left, right;
  __builtin_memcpy(&left, x, sizeof left);
  __builtin_memcpy(&right, y, sizeof right);
  add_singles(left, right, found);
  Lanes wide_left, wide_right;
  for (int part = 0; part < 2; ++part) {
    load(wide_left, x + part * kLanes);
    load(wide_right, y + part * kLanes);
    add_to_sums<fused>(wide_left, wide_right, sums);
  }
}

// Sums; of what is largest only where to look for it.
template <Fused fused>
[[gnu::always_inline]] inline void add_narrow_block(const float* x, const float* y, std::size_t count,
                                                    Extremes& result, Sums& result_sums) {
  constexpr std::size_t kSingles = 2 * kLanes;
  constexpr std::size_t kAhead = 256;  // elements, prefetched
  Extremes found = result;             // their own copies, as above
  Sums sums = result_sums;
  std::size_t i = 0;
  for (; i + kSingles <= count; i += kSingles) {
    __builtin_prefetch(x + i + kAhead);
    __builtin_prefetch(y + i + kAhead);
    add_both<fused>(x + i, y + i, found, sums);
  }
  if (i < count) {
    std::array<float, kSingles> last_x{}, last_y{};
    std::copy(x + i, x + count, last_x.begin());
    std::copy(y + i, y + count, last_y.begin());
    add_both<fused>(last_x.data(), last_y.data(), found, sums);
  }
  result = found;
  result_sums = sums;
}

#ifdef PLUMBLINE_VERSIONS
__attribute__((target("arch=x86-64-v4"))) void add_narrow(const float* x, const float* y, std::size_t count,
                                                          Extremes& found, Sums& sums) {
  add_narrow_block<Fused::yes>(x, y, count, found, sums);
}
__attribute__((target("arch=x86-64-v3"))) void add_narrow(const float* x, const float* y, std::size_t count,
                                                          Extremes& found, Sums& sums) {
  add_narrow_block<Fused::yes>(x, y, count, found, sums);
}
__attribute__((target("default")))
#endif
void add_narrow(const float* x, const float* y, std::size_t count, Extremes& found, Sums& sums) {
  add_narrow_block<Fused::no>(x, y, count, found, sums);
}

}  // namespace

// A caller elsewhere would get the default version.
void add_f32_f32(const float* x, const float* y, std::size_t count, Extremes& found, Sums& sums) {
  add_narrow(x, y, count, found, sums);
}
PLUMBLINE_CLONES void raise_f32_f32(const float* x, const float* y, std::size_t count, const Spacing& spacing,
                                    Sums& sums) {
  Sums all;
  add_block(x, y, count, spacing, all);
  raise(sums.largest, all.largest);
  raise(sums.ulp, all.ulp);
}
PLUMBLINE_CLONES void add_f32_f64(const float* x, const double* y, std::size_t count, const Spacing& spacing,
                                  Sums& sums) {
  add_block(x, y, count, spacing, sums);
}
PLUMBLINE_CLONES void add_f64_f64(const double* x, const double* y, std::size_t count, const Spacing& spacing,
                                  Sums& sums) {
  add_block(x, y, count, spacing, sums);
}

void merge(Sums& into, const Sums& more) {
  into.abs += more.abs;
  into.squares += more.squares;
  into.expected += more.expected;
  into.actual += more.actual;
  into.product += more.product;
  raise(into.largest, more.largest);
  raise(into.largest_expected, more.largest_expected);
  raise(into.ulp, more.ulp);
  into.different += more.different;
}

bool all_finite(const Sums& sums) {
  const Lanes all = sums.expected + sums.actual;
  double sum = 0;
  for (int lane = 0; lane < kLanes; ++lane) sum += all[lane];
  return std::isfinite(sum);
}

double most(const Lanes& lanes) {
  double largest = lanes[0];
  for (int lane = 1; lane < kLanes; ++lane) largest = std::max(largest, lanes[lane]);
  return largest;
}

double total(const Lanes& lanes) {
  double sum = 0;
  for (int lane = 0; lane < kLanes; ++lane) sum += lanes[lane];
  return sum;
}

float most(const Singles& lanes) {
  float largest = lanes[0];
  for (int lane = 1; lane < 2 * kLanes; ++lane) largest = std::max(largest, lanes[lane]);
  return largest;
}

}  // namespace plumbline::lanes
