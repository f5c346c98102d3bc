// measure_error: at the speed of memory for contiguous f32 and f64, on all cores for large tensors.
//
// The order of all sums is fixed: four lanes side by side in each segment, the segments' lanes added in
// order. So a figure depends neither on threads nor on the instruction set. Of two f32 tensors the largest
// errors are first sought in f32, at half the price, and taken in f64 where they may lie.
#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <vector>

#include "harness/error_lanes.h"
#include "harness/metrics.h"
#include "harness/parallel.h"

namespace plumbline {
namespace {

using namespace lanes;

constexpr std::int64_t kBlock = 2048;       // elements at a time: what is in work stays in the cache
constexpr std::int64_t kSegment = 1 << 18;  // elements that one thread measures at a stretch
constexpr std::int64_t kWorthThreads = 1 << 20;

// The largest rounded differences whose blocks were looked at in f64.
struct SeenClosely {
  float error = 0, relative = 0;
};

// A stretch of elements, measured.
struct Segment {
  std::int64_t compared = 0, not_finite = 0, first_not_finite = -1;
  std::int64_t different_not_finite = 0;
  std::int64_t worst = -1;
  double max_abs = -1;
  SeenClosely seen;
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
      if (!add_narrow(actual_.as<float>() + at, expected_.as<float>() + at, count, segment.seen, sums))
        return false;
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

  bool add_narrow(const float* x, const float* y, std::size_t count, SeenClosely& seen, Sums& sums) const {
    Extremes found;
    add_f32_f32(x, y, count, found, sums);
    if (!all_finite(sums)) return false;
    sums.largest_expected[0] = static_cast<double>(most(found.expected));
    for (int lane = 0; lane < 2 * kLanes; ++lane) sums.different[lane % kLanes] += found.different[lane];
    const float error = most(found.error), relative = most(found.relative);
    const bool exact = most(found.rounded) < error || error == 0, exact_ulp = relative < 1;
    if (exact) sums.largest[0] = static_cast<double>(error);
    if (exact_ulp) sums.ulp[0] = static_cast<double>(relative) * 0x1p22;
    // Rounded ones that are equal may differ in truth.
    if ((!exact && error >= seen.error) || (!exact_ulp && relative >= seen.relative)) {
      raise_f32_f32(x, y, count, spacing_, sums);
      if (!exact) seen.error = std::max(seen.error, error);
      if (!exact_ulp) seen.relative = std::max(seen.relative, relative);
    }
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
