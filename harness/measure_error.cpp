// measure_error: at the speed of memory for contiguous f32 and f64, on all cores for large tensors.
//
// The order of all sums is fixed: four lanes side by side in each segment, the segments' lanes added in
// order. So a figure depends neither on threads nor on the instruction set.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numeric>
#include <span>
#include <vector>

#include "harness/metrics.h"
#include "harness/parallel.h"

// One function for each instruction set, chosen when the program starts. -ffp-contract=off keeps their
// results the same.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define PLUMBLINE_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define PLUMBLINE_CLONES
#endif

namespace plumbline {
namespace {

constexpr int kLanes = 4;
constexpr std::int64_t kBlock = 2048;       // elements at a time: what is in work stays in the cache
constexpr std::int64_t kSegment = 1 << 18;  // elements that one thread measures at a stretch
constexpr std::int64_t kWorthThreads = 1 << 20;

using Lanes = double __attribute__((vector_size(kLanes * sizeof(double))));
using Flags = std::int64_t __attribute__((vector_size(kLanes * sizeof(double))));
using Narrow = float __attribute__((vector_size(kLanes * sizeof(float))));

// One over the spacing of a dtype at y, made from y's exponent: of y's bits those of the exponent, at least
// `least` (below the smallest normal value the spacing stays), taken from `reciprocal`.
struct Spacing {
  explicit Spacing(DType dtype) {
    const double at_one = 2 * half_spacing(1.0, dtype);
    least = std::bit_cast<std::int64_t>(2 * half_spacing(0, dtype) / at_one);
    reciprocal = std::bit_cast<std::int64_t>(1.0) + std::bit_cast<std::int64_t>(1 / at_one);
  }
  std::int64_t least, reciprocal;
};
constexpr std::int64_t kExponent = 0x7ff0000000000000;
constexpr std::int64_t kMagnitude = 0x7fffffffffffffff;

// What is added up over elements that are finite on both sides.
struct Sums {
  Lanes abs{}, squares{}, expected{}, actual{}, product{}, largest{}, largest_expected{}, ulp{};
  Flags different{};  // counts
};

void raise(Lanes& to, const Lanes& value) {
  to = value > to ? value : to;
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

[[gnu::always_inline]] inline void add_lanes(const Lanes& x, const Lanes& y, const Spacing& spacing,
                                             Sums& sums) {
  const Lanes difference = x - y;
  const Lanes error = (Lanes)((Flags)difference & kMagnitude);
  const Lanes size = (Lanes)((Flags)y & kMagnitude);
  const Flags exponent = (Flags)y & kExponent;
  const Flags kept = exponent > spacing.least ? exponent : Flags{} + spacing.least;
  const Lanes in_ulp = error * (Lanes)(spacing.reciprocal - kept);
  sums.abs += error;
  sums.squares += error * error;
  sums.expected += y * y;
  sums.actual += x * x;
  sums.product += x * y;
  sums.largest = error > sums.largest ? error : sums.largest;
  sums.largest_expected = size > sums.largest_expected ? size : sums.largest_expected;
  sums.ulp = in_ulp > sums.ulp ? in_ulp : sums.ulp;
  sums.different -= x != y;
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

PLUMBLINE_CLONES void add_f32_f32(const float* x, const float* y, std::size_t count, const Spacing& spacing,
                                  Sums& sums) {
  add_block(x, y, count, spacing, sums);
}
PLUMBLINE_CLONES void add_f32_f64(const float* x, const double* y, std::size_t count, const Spacing& spacing,
                                  Sums& sums) {
  add_block(x, y, count, spacing, sums);
}
PLUMBLINE_CLONES void add_f64_f64(const double* x, const double* y, std::size_t count, const Spacing& spacing,
                                  Sums& sums) {
  add_block(x, y, count, spacing, sums);
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

// A stretch of elements, measured.
struct Segment {
  std::int64_t compared = 0, not_finite = 0, first_not_finite = -1;
  std::int64_t different_not_finite = 0;
  std::int64_t worst = -1;
  double max_abs = -1;
  Sums sums;
};

class Measurement {
 public:
  Measurement(const TensorView& actual, const TensorView& expected, const TensorView& allowed)
      : actual_(actual),
        expected_(expected),
        allowed_(allowed),
        spacing_(is_floating(actual.dtype) && actual.dtype != DType::f64 ? actual.dtype : DType::f32),
        in_place_(allowed.data == nullptr && readable(actual) && readable(expected)) {}

  Segment segment(std::int64_t begin, std::int64_t end) const {
    Segment made;
    for (std::int64_t at = begin; at < end; at += kBlock) {
      const auto count = static_cast<std::size_t>(std::min(kBlock, end - at));
      if (!in_place_ || !add_in_place(at, count, made)) add_converted(at, count, made);
    }
    return made;
  }

 private:
  static bool readable(const TensorView& view) {
    return view.is_contiguous() && (view.dtype == DType::f32 || view.dtype == DType::f64);
  }

  // False, and nothing added, when something is not finite.
  bool add_in_place(std::int64_t at, std::size_t count, Segment& segment) const {
    Sums sums;
    const bool narrow_x = actual_.dtype == DType::f32, narrow_y = expected_.dtype == DType::f32;
    if (narrow_x && narrow_y) {
      add_f32_f32(actual_.as<float>() + at, expected_.as<float>() + at, count, spacing_, sums);
    } else if (narrow_x) {
      add_f32_f64(actual_.as<float>() + at, expected_.as<double>() + at, count, spacing_, sums);
    } else if (!narrow_y) {
      add_f64_f64(actual_.as<double>() + at, expected_.as<double>() + at, count, spacing_, sums);
    } else {
      return false;
    }
    if (!all_finite(sums)) return false;
    segment.compared += static_cast<std::int64_t>(count);
    keep(segment, sums, [&] { return find(at, count, most(sums.largest)); });
    return true;
  }

  // The place of the block's largest error.
  std::int64_t find(std::int64_t at, std::size_t count, double error) const {
    std::array<double, kBlock> x, y;
    read_f64(actual_, at, std::span(x.data(), count));
    read_f64(expected_, at, std::span(y.data(), count));
    for (std::size_t i = 0; i < count; ++i) {
      if (std::fabs(x[i] - y[i]) == error) return at + static_cast<std::int64_t>(i);
    }
    throw InternalError("measure_error: the largest error is nowhere");
  }

  template <typename Find>
  static void keep(Segment& segment, const Sums& sums, const Find& find) {
    const double largest = most(sums.largest);
    if (largest > segment.max_abs) {
      segment.max_abs = largest;
      segment.worst = find();
    }
    merge(segment.sums, sums);
  }

  // Any dtype, strides, mask, NaN and infinities. What counts and is finite moves to the front.
  void add_converted(std::int64_t at, std::size_t count, Segment& segment) const {
    std::array<double, kBlock> x, y, mask;
    std::array<std::int64_t, kBlock> place;
    read_f64(actual_, at, std::span(x.data(), count));
    read_f64(expected_, at, std::span(y.data(), count));
    const bool masked = allowed_.data != nullptr;
    if (masked) read_f64(allowed_, at, std::span(mask.data(), count));
    std::size_t kept = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (masked && mask[i] == 0) continue;
      ++segment.compared;
      const std::int64_t index = at + static_cast<std::int64_t>(i);
      if (!std::isfinite(x[i]) || !std::isfinite(y[i])) {
        if (x[i] == y[i]) continue;  // the same infinity
        ++segment.different_not_finite;
        if (segment.not_finite++ == 0) segment.first_not_finite = index;
        continue;
      }
      x[kept] = x[i];
      y[kept] = y[i];
      place[kept++] = index;
    }
    if (kept == 0) return;
    Sums sums;
    add_f64_f64(x.data(), y.data(), kept, spacing_, sums);
    keep(segment, sums, [&] {
      const double largest = most(sums.largest);
      std::size_t i = 0;
      while (i + 1 < kept && std::fabs(x[i] - y[i]) != largest) ++i;
      return place[i];
    });
  }

  const TensorView actual_, expected_, allowed_;
  const Spacing spacing_;
  const bool in_place_;
};

ErrorStats stats_of(const Segment& all) {
  ErrorStats stats;
  stats.compared = all.compared;
  stats.not_finite = all.not_finite;
  stats.first_not_finite = all.first_not_finite;
  if (all.compared == 0) return stats;
  stats.different = all.different_not_finite;
  for (int lane = 0; lane < kLanes; ++lane) stats.different += all.sums.different[lane];
  if (all.worst >= 0) {
    stats.worst = all.worst;
    stats.max_abs = all.max_abs;
  }
  const auto count = static_cast<double>(all.compared);
  const double squares = total(all.sums.squares), of_expected = total(all.sums.expected),
               of_actual = total(all.sums.actual);
  stats.mean_abs = total(all.sums.abs) / count;
  stats.rms = std::sqrt(squares / count);
  stats.relative_l2 = squares == 0 ? 0 : std::sqrt(squares / of_expected);
  stats.max_abs_expected = most(all.sums.largest_expected);
  stats.max_ulp = most(all.sums.ulp);
  const double norms = std::sqrt(of_expected) * std::sqrt(of_actual);
  stats.cosine = norms > 0 ? total(all.sums.product) / norms : (of_expected == of_actual ? 1 : 0);
  return stats;
}

}  // namespace

ErrorStats measure_error(const TensorView& actual, const TensorView& expected, const TensorView& allowed) {
  require(actual.shape == expected.shape, "measure_error: shapes differ");
  require(allowed.data == nullptr || allowed.shape == actual.shape, "measure_error: mask has another shape");
  const Measurement measurement(actual, expected, allowed);
  const std::int64_t elements = actual.elements();
  std::vector<Segment> segments(static_cast<std::size_t>((elements + kSegment - 1) / kSegment));
  parallel_for(segments.size(), elements >= kWorthThreads ? 0 : 1, [&](std::size_t i) {
    const std::int64_t begin = static_cast<std::int64_t>(i) * kSegment;
    segments[i] = measurement.segment(begin, std::min(begin + kSegment, elements));
  });
  Segment all;
  for (const Segment& segment : segments) {
    all.compared += segment.compared;
    all.different_not_finite += segment.different_not_finite;
    if (all.not_finite == 0) all.first_not_finite = segment.first_not_finite;
    all.not_finite += segment.not_finite;
    if (segment.max_abs > all.max_abs) {
      all.max_abs = segment.max_abs;
      all.worst = segment.worst;
    }
    merge(all.sums, segment.sums);
  }
  return stats_of(all);
}

}  // namespace plumbline
