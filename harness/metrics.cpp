#include "harness/metrics.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace plumbline {

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
