#include "harness/statistics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "harness/gate.h"

namespace plumbline {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

double error_of(double actual, double expected) {
  if (actual == expected) return 0;  // also the same infinity
  const double error = std::fabs(actual - expected);
  return std::isfinite(error) ? error : kInfinity;
}

// The continued fraction of I_x(a, b), which converges quickly for x < (a + 1) / (a + b + 2).
double beta_fraction(double a, double b, double x) {
  constexpr int kTerms = 10000;
  constexpr double kTiny = 1e-300, kEnough = 1e-15;
  const auto safe = [](double value) { return std::fabs(value) < kTiny ? kTiny : value; };
  double c = 1, d = 1 / safe(1 - (a + b) * x / (a + 1)), value = d;
  for (int m = 1; m <= kTerms; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / safe(1 + even * d);
    c = safe(1 + even / c);
    value *= c * d;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / safe(1 + odd * d);
    c = safe(1 + odd / c);
    value *= c * d;
    if (std::fabs(c * d - 1) < kEnough) break;
  }
  return value;
}

constexpr std::int64_t kBlock = 2048;  // elements at a time: large tensors are not copied whole

// Calls visit(logical index, actual, expected) for every place that counts.
template <typename Visit>
void for_each_pair(const TensorView& actual, const TensorView& expected, const TensorView& allowed,
                   const Visit& visit) {
  require(actual.shape == expected.shape, "statistics: shapes differ");
  require(allowed.data == nullptr || allowed.shape == actual.shape, "statistics: mask has another shape");
  std::array<double, kBlock> x, y, counts;
  for (std::int64_t begin = 0; begin < actual.elements(); begin += kBlock) {
    const auto count = static_cast<std::size_t>(std::min(kBlock, actual.elements() - begin));
    read_f64(actual, begin, std::span(x.data(), count));
    read_f64(expected, begin, std::span(y.data(), count));
    if (allowed.data != nullptr) read_f64(allowed, begin, std::span(counts.data(), count));
    for (std::size_t i = 0; i < count; ++i) {
      if (allowed.data != nullptr && counts[i] == 0) continue;
      visit(begin + static_cast<std::int64_t>(i), x[i], y[i]);
    }
  }
}

TensorView view_of(const Tensor& tensor) {
  return tensor.empty() ? TensorView{} : tensor.view();
}

}  // namespace

double regularised_beta(double a, double b, double x) {
  require(a > 0 && b > 0 && x >= 0 && x <= 1, "regularised_beta: arguments");
  if (x == 0 || x == 1) return x;
  if (x > (a + 1) / (a + b + 2)) return 1 - regularised_beta(b, a, 1 - x);
  const double log_beta = std::lgamma(a) + std::lgamma(b) - std::lgamma(a + b);
  return std::exp(a * std::log(x) + b * std::log1p(-x) - log_beta) / a * beta_fraction(a, b, x);
}

double student_two_sided(double t, double degrees) {
  if (!std::isfinite(t)) return std::isnan(t) ? 1 : 0;
  return regularised_beta(degrees / 2, 0.5, degrees / (degrees + t * t));
}

Correlation correlate(std::span<const double> x, std::span<const double> y) {
  require(x.size() == y.size(), "correlate: lengths differ");
  Correlation result;
  result.n = static_cast<std::int64_t>(y.size());
  if (y.size() < 3) return result;
  const auto n = static_cast<double>(y.size());
  const double mean_x = std::accumulate(x.begin(), x.end(), 0.0) / n;
  const double mean_y = std::accumulate(y.begin(), y.end(), 0.0) / n;
  double xy = 0, xx = 0, yy = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double dx = x[i] - mean_x, dy = y[i] - mean_y;
    xy += dx * dy;
    xx += dx * dx;
    yy += dy * dy;
  }
  const double r = xy / std::sqrt(xx) / std::sqrt(yy);
  if (!std::isfinite(r)) return result;
  result.r = std::clamp(r, -1.0, 1.0);
  result.p = student_two_sided(result.r * std::sqrt((n - 2) / (1 - result.r * result.r)), n - 2);
  return result;
}

Correlation correlate_with_index(std::span<const double> y) {
  std::vector<double> index(y.size());
  std::iota(index.begin(), index.end(), 0.0);
  return correlate(index, y);
}

double geometric_mean(std::span<const double> values) {
  double logs = 0;
  int count = 0;
  for (const double value : values) {
    if (!std::isfinite(value) || value <= 0) continue;
    logs += std::log(value);
    ++count;
  }
  return count == 0 ? kNan : std::exp(logs / count);
}

double median(std::vector<double> values) {
  if (values.empty()) return kNan;
  const std::size_t middle = values.size() / 2;
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(middle), values.end());
  const double upper = values[middle];
  if (values.size() % 2 == 1) return upper;
  return (upper + *std::max_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(middle))) /
         2;
}

double AxisErrors::rms(std::int64_t index) const {
  const auto at = static_cast<std::size_t>(index);
  return elements[at] == 0 ? 0 : std::sqrt(squares[at] / static_cast<double>(elements[at]));
}

std::vector<AxisErrors> error_by_axis(const TensorView& actual, const TensorView& expected,
                                      const TensorView& allowed) {
  const Shape& shape = actual.shape;
  std::vector<AxisErrors> axes;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const auto size = static_cast<std::size_t>(shape[axis]);
    axes.push_back({std::vector<double>(size), std::vector<double>(size), std::vector<std::int64_t>(size)});
  }
  for_each_pair(actual, expected, allowed, [&](std::int64_t index, double x, double y) {
    const double error = error_of(x, y);
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      const auto at = static_cast<std::size_t>(index % shape[axis]);
      index /= shape[axis];
      AxisErrors& errors = axes[static_cast<std::size_t>(axis)];
      errors.max_abs[at] = std::max(errors.max_abs[at], error);
      errors.squares[at] += error * error;
      ++errors.elements[at];
    }
  });
  return axes;
}

std::vector<WorstPoint> worst_points(const TensorView& actual, const Replay& replay,
                                     const Tolerance& tolerance, int count) {
  const TensorView expected = replay.expected.view();
  const bool bounded = tolerance.rule == Rule::bound && !replay.bound.empty();
  const auto limits = [&](const Tensor& tensor) {
    return bounded ? tensor.values<double>() : std::span<const double>{};
  };
  const Gates gates(expected, limits(replay.bound), limits(replay.roundings),
                    tolerance_for(replay, tolerance), actual.dtype);
  const auto worse = [](const WorstPoint& a, const WorstPoint& b) { return a.share > b.share; };
  std::vector<WorstPoint> worst;
  for_each_pair(actual, expected, view_of(replay.allowed), [&](std::int64_t index, double x, double y) {
    WorstPoint point{{}, y, x, error_of(x, y), 0, 0};
    if (point.error == 0) return;
    point.gate = gates.at(index, y);
    point.share = point.gate > 0 ? point.error / point.gate : kInfinity;
    if (static_cast<int>(worst.size()) == count && !worse(point, worst.back())) return;
    point.place = place_of(expected.shape, index);
    worst.insert(std::upper_bound(worst.begin(), worst.end(), point, worse), point);
    if (static_cast<int>(worst.size()) > count) worst.pop_back();
  });
  return worst;
}

}  // namespace plumbline
