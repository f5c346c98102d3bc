#include "reference/chi_squared.h"

#include <cmath>

#include <ATen/ATen.h>

#include "reference/internal/guard_torch.h"

namespace plumbline::reference {
namespace {

// Upper regularised incomplete gamma functions Q(a, x) for each a.
at::Tensor gamma_tail(const at::Tensor& a, double x) {
  return at::special_gammaincc(a, at::full_like(a, x));
}

}  // namespace

double chi_squared_tail(double x, double degrees) {
  return in_torch([&] { return gamma_tail(at::full({1}, degrees / 2, at::kDouble), x / 2).item<double>(); });
}

double chi_squared_critical(double alpha, double degrees) {
  double low = 0, high = degrees + 10;
  while (chi_squared_tail(high, degrees) > alpha) high *= 2;
  for (int i = 0; i < 200 && low < high; ++i) {
    const double middle = low + (high - low) / 2;
    (chi_squared_tail(middle, degrees) > alpha ? low : high) = middle;
  }
  return high;
}

double chi_squared_power(double critical, double degrees, double noncentrality) {
  const double mean = noncentrality / 2;
  // Weights beyond these terms are below 1e-16 of the whole.
  const auto terms = static_cast<std::int64_t>(mean + 40 * std::sqrt(mean + 1) + 40);
  return in_torch([&] {
    const at::Tensor j = at::arange(terms, at::kDouble);
    const at::Tensor log_weight = mean > 0 ? j * std::log(mean) - mean - at::lgamma(j + 1)
                                           : at::where(j == 0, 0.0, -INFINITY).to(at::kDouble);
    return (at::exp(log_weight) * gamma_tail(j + degrees / 2, critical / 2)).sum().item<double>();
  });
}

}  // namespace plumbline::reference
