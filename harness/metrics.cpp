#include "harness/metrics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

namespace plumbline {
namespace {

bool same_value(double a, double b) {
  return a == b;  // false for NaN, true for the same infinity
}

// Walks the logical elements of a view without a division per element.
class Cursor {
 public:
  explicit Cursor(const TensorView& view) : view_(view) {}
  double next() {
    const double value = element_at(offset_);
    advance();
    return value;
  }

 private:
  double element_at(std::int64_t offset) const {
    TensorView one = view_;
    one.data = static_cast<const std::byte*>(view_.data) +
               offset * static_cast<std::int64_t>(dtype_size(view_.dtype));
    switch (view_.dtype) {
      case DType::f64:
        return *one.as<double>();
      case DType::f32:
        return *one.as<float>();
      default:
        return element_as_f64({one.data, view_.dtype, Shape{1}}, 0);
    }
  }
  void advance() {
    for (int axis = view_.shape.rank() - 1; axis >= 0; --axis) {
      auto& index = index_[static_cast<std::size_t>(axis)];
      offset_ += view_.strides[axis];
      if (++index < view_.shape[axis]) return;
      offset_ -= index * view_.strides[axis];
      index = 0;
    }
  }

  TensorView view_;
  std::array<std::int64_t, Shape::kMaxRank> index_{};
  std::int64_t offset_ = 0;
};

}  // namespace

ErrorStats measure_error(const TensorView& actual, const TensorView& expected, const TensorView& allowed) {
  require(actual.shape == expected.shape, "measure_error: shapes differ");
  require(allowed.data == nullptr || allowed.shape == actual.shape, "measure_error: mask has another shape");
  const DType spacing_of =
      is_floating(actual.dtype) && actual.dtype != DType::f64 ? actual.dtype : DType::f32;
  ErrorStats stats;
  double sum_abs = 0, sum_squares = 0, sum_expected = 0, sum_actual = 0, sum_product = 0;
  Cursor a(actual), e(expected), m(allowed.data != nullptr ? allowed : actual);
  for (std::int64_t i = 0; i < actual.elements(); ++i) {
    const double x = a.next(), y = e.next();
    if (allowed.data != nullptr && m.next() == 0.0) continue;
    ++stats.compared;
    if (same_value(x, y)) {
      if (!std::isfinite(y)) continue;
    } else {
      ++stats.different;
    }
    if (!std::isfinite(x) || !std::isfinite(y)) {
      if (stats.not_finite++ == 0) stats.first_not_finite = i;
      continue;
    }
    const double error = std::fabs(x - y);
    if (stats.worst < 0 || error > stats.max_abs) {
      stats.max_abs = error;
      stats.worst = i;
    }
    if (error > 0) stats.max_ulp = std::max(stats.max_ulp, error / (2 * half_spacing(y, spacing_of)));
    stats.max_abs_expected = std::max(stats.max_abs_expected, std::fabs(y));
    sum_abs += error;
    sum_squares += error * error;
    sum_expected += y * y;
    sum_actual += x * x;
    sum_product += x * y;
  }
  if (stats.compared == 0) return stats;
  const auto count = static_cast<double>(stats.compared);
  stats.mean_abs = sum_abs / count;
  stats.rms = std::sqrt(sum_squares / count);
  stats.relative_l2 = sum_squares == 0 ? 0 : std::sqrt(sum_squares / sum_expected);
  const double norms = std::sqrt(sum_expected) * std::sqrt(sum_actual);
  stats.cosine = norms > 0 ? sum_product / norms : (sum_expected == sum_actual ? 1 : 0);
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
