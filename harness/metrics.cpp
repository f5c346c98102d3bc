#include "harness/metrics.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numeric>
#include <vector>

namespace plumbline {
namespace {

bool same_value(double a, double b) {
  return a == b;  // false for NaN, true for the same infinity
}

constexpr std::int64_t kBlock = 2048;  // elements at a time: what is in work stays in the cache

// The spacing of `dtype` at y, for every normal value; that of the smallest normal ones below.
class Spacing {
 public:
  explicit Spacing(DType dtype) : at_one_(2 * half_spacing(1.0, dtype)), least_(2 * half_spacing(0, dtype)) {}
  double operator()(double y) const {
    const auto exponent = std::bit_cast<double>(std::bit_cast<std::uint64_t>(y) & 0x7ff0000000000000u);
    return std::max(exponent * at_one_, least_);
  }

 private:
  double at_one_, least_;
};

// What is added up over elements that are finite on both sides. Several sums side by side, so that the
// compiler may keep them in one register; their order does not depend on where a block begins.
struct Sums {
  static constexpr std::size_t kLanes = 8;
  using Lanes = std::array<double, kLanes>;
  Lanes abs{}, squares{}, expected{}, actual{}, product{}, largest_expected{}, ulp{};

  void add(std::span<const double> x, std::span<const double> y, const Spacing& spacing) {
    std::size_t i = 0;
    for (; i + kLanes <= x.size(); i += kLanes) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) add_one(lane, x[i + lane], y[i + lane], spacing);
    }
    for (; i < x.size(); ++i) add_one(i % kLanes, x[i], y[i], spacing);
  }
  static double total(const Lanes& lanes) { return std::accumulate(lanes.begin(), lanes.end(), 0.0); }
  static double most(const Lanes& lanes) { return *std::max_element(lanes.begin(), lanes.end()); }

 private:
  void add_one(std::size_t lane, double x, double y, const Spacing& spacing) {
    const double error = std::fabs(x - y);
    abs[lane] += error;
    squares[lane] += error * error;
    expected[lane] += y * y;
    actual[lane] += x * x;
    product[lane] += x * y;
    largest_expected[lane] = std::max(largest_expected[lane], std::fabs(y));
    ulp[lane] = std::max(ulp[lane], error / spacing(y));
  }
};

}  // namespace

ErrorStats measure_error(const TensorView& actual, const TensorView& expected, const TensorView& allowed) {
  require(actual.shape == expected.shape, "measure_error: shapes differ");
  require(allowed.data == nullptr || allowed.shape == actual.shape, "measure_error: mask has another shape");
  const DType spacing_of =
      is_floating(actual.dtype) && actual.dtype != DType::f64 ? actual.dtype : DType::f32;
  const Spacing spacing(spacing_of);
  ErrorStats stats;
  Sums sums;
  std::array<double, kBlock> x_block, y_block, allowed_block;
  for (std::int64_t begin = 0; begin < actual.elements(); begin += kBlock) {
    const auto count = static_cast<std::size_t>(std::min(kBlock, actual.elements() - begin));
    const std::span<double> x(x_block.data(), count), y(y_block.data(), count);
    read_f64(actual, begin, x);
    read_f64(expected, begin, y);
    const bool masked = allowed.data != nullptr;
    if (masked) read_f64(allowed, begin, std::span(allowed_block.data(), count));
    // What counts and is finite moves to the front.
    std::size_t kept = 0;
    double worst_here = stats.worst < 0 ? -1 : stats.max_abs;
    for (std::size_t i = 0; i < count; ++i) {
      if (masked && allowed_block[i] == 0) continue;
      ++stats.compared;
      const bool same = same_value(x[i], y[i]);
      stats.different += same ? 0 : 1;
      const double error = std::fabs(x[i] - y[i]);
      if (!std::isfinite(x[i]) || !std::isfinite(y[i])) {
        const auto index = begin + static_cast<std::int64_t>(i);
        if (!same && stats.not_finite++ == 0) stats.first_not_finite = index;
        continue;
      }
      if (error > worst_here) {
        worst_here = error;
        stats.max_abs = error;
        stats.worst = begin + static_cast<std::int64_t>(i);
      }
      x[kept] = x[i];
      y[kept++] = y[i];
    }
    sums.add(x.first(kept), y.first(kept), spacing);
  }
  if (stats.compared == 0) return stats;
  const auto count = static_cast<double>(stats.compared);
  const double squares = Sums::total(sums.squares), of_expected = Sums::total(sums.expected),
               of_actual = Sums::total(sums.actual);
  stats.mean_abs = Sums::total(sums.abs) / count;
  stats.rms = std::sqrt(squares / count);
  stats.relative_l2 = squares == 0 ? 0 : std::sqrt(squares / of_expected);
  stats.max_abs_expected = Sums::most(sums.largest_expected);
  stats.max_ulp = Sums::most(sums.ulp);
  const double norms = std::sqrt(of_expected) * std::sqrt(of_actual);
  stats.cosine = norms > 0 ? Sums::total(sums.product) / norms : (of_expected == of_actual ? 1 : 0);
  return stats;
}

LogitComparison compare_logits(const TensorView& actual, const TensorView& expected) {
  require(actual.shape == expected.shape && actual.shape.rank() == 1 && actual.shape[0] > 0,
          "compare_logits: two rows of equal length");
  const Tensor x64 = to_f64(actual), y64 = to_f64(expected);
  const std::span<const double> x = x64.values<double>(), y = y64.values<double>();
  const auto log_sum_exp = [](std::span<const double> row) {
    const double top = *std::max_element(row.begin(), row.end());
    const double sum = std::accumulate(row.begin(), row.end(), 0.0,
                                       [&](double acc, double value) { return acc + std::exp(value - top); });
    return top + std::log(sum);
  };
  const auto best = [](std::span<const double> row) {
    std::vector<std::int64_t> order(row.size());
    std::iota(order.begin(), order.end(), 0);
    const auto count = static_cast<std::ptrdiff_t>(std::min<std::size_t>(5, row.size()));
    std::partial_sort(order.begin(), order.begin() + count, order.end(), [&](std::int64_t i, std::int64_t j) {
      const double a = row[static_cast<std::size_t>(i)], b = row[static_cast<std::size_t>(j)];
      return a > b || (a == b && i < j);
    });
    order.resize(static_cast<std::size_t>(count));
    return order;
  };
  const std::vector<std::int64_t> best_x = best(x), best_y = best(y);
  LogitComparison result;
  result.actual_argmax = best_x[0];
  result.expected_argmax = best_y[0];
  if (best_y.size() > 1) {
    result.expected_margin = y[static_cast<std::size_t>(best_y[0])] - y[static_cast<std::size_t>(best_y[1])];
  }
  for (const std::int64_t id : best_x) {
    result.top5_shared += std::find(best_y.begin(), best_y.end(), id) != best_y.end() ? 1 : 0;
  }
  const double zx = log_sum_exp(x), zy = log_sum_exp(y);
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double p = std::exp(y[i] - zy);
    if (p > 0) result.kl += p * ((y[i] - zy) - (x[i] - zx));
  }
  return result;
}

}  // namespace plumbline
