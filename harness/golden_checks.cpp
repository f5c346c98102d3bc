#include "harness/golden_checks.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <fmt/format.h>

#include "harness/checks.h"
#include "harness/error.h"
#include "harness/metrics.h"

namespace plumbline {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Check wrong_shape(std::string what, std::string subject, std::string metric, const TensorView& actual,
                  const TensorView& expected) {
  Check check = check_at_most(std::move(what), std::move(subject), std::move(metric), kInfinity, 0);
  check.note =
      fmt::format("shape {} where {} is right", actual.shape.to_string(), expected.shape.to_string());
  return check;
}

double norm(const TensorView& row) {
  double squares = 0;
  for (std::int64_t i = 0; i < row.elements(); ++i) {
    const double value = element_as_f64(row, i);
    squares += value * value;
  }
  return std::sqrt(squares);
}

}  // namespace

Tensor elements_at(const TensorView& row, std::span<const std::int64_t> places) {
  std::vector<double> values;
  values.reserve(places.size());
  for (const std::int64_t place : places) {
    if (place < 0 || place >= row.elements()) {
      throw Error(fmt::format("place {} of {}", place, row.elements()), "golden", "remake the goldens");
    }
    values.push_back(element_as_f64(row, place));
  }
  return Tensor::from<double>(DType::f64, Shape{static_cast<std::int64_t>(values.size())}, values);
}

Check check_rms(std::string what, std::string subject, const TensorView& actual, const TensorView& expected,
                double own_rms, double factor) {
  const std::string metric = "RMS of the error";
  if (actual.shape != expected.shape || actual.elements() == 0) {
    return wrong_shape(std::move(what), std::move(subject), metric, actual, expected);
  }
  const ErrorStats stats = measure_error(actual, expected);
  Check check = check_at_most(std::move(what), std::move(subject), metric,
                              stats.proven_finite() ? stats.rms : kInfinity, factor * own_rms);
  check.note = fmt::format("{} times its maker's own f32 error of {:.2e}", factor, own_rms);
  return check;
}

Check check_norms(std::string what, std::string subject, const TensorView& rows, const TensorView& norms,
                  double own_rms, double factor) {
  const std::string metric = "RMS of the norms' error";
  const bool fits = rows.shape.rank() == 2 && norms.shape.rank() == 1 && rows.shape[0] == norms.shape[0];
  if (!fits || rows.elements() == 0) {
    return wrong_shape(std::move(what), std::move(subject), metric, rows, norms);
  }
  double squares = 0;
  for (std::int64_t row = 0; row < rows.shape[0]; ++row) {
    const double error = norm(rows.rows(row, row + 1)) - element_as_f64(norms, row);
    squares += error * error;  // NaN stays NaN, and does not pass
  }
  const double measured = std::sqrt(squares / static_cast<double>(rows.shape[0]));
  const double gate = factor * own_rms * std::sqrt(static_cast<double>(rows.shape[1]));
  return check_at_most(std::move(what), std::move(subject), metric, measured, gate);
}

Check check_none_better(std::string what, std::string subject, const TensorView& row,
                        std::span<const std::int64_t> best, const TensorView& values, double gate) {
  double least = kInfinity;
  for (std::int64_t i = 0; i < values.elements(); ++i) least = std::min(least, element_as_f64(values, i));
  const bool fits = !best.empty() && values.elements() == static_cast<std::int64_t>(best.size()) &&
                    row.elements() > values.elements();
  double largest = -kInfinity;
  bool finite = fits && std::isfinite(least);
  std::int64_t at = -1;
  for (std::int64_t i = 0; fits && i < row.elements(); ++i) {
    const double value = element_as_f64(row, i);
    finite = finite && std::isfinite(value);
    if (value <= largest || std::ranges::find(best, i) != best.end()) continue;
    largest = value;
    at = i;
  }
  // A row that is lower everywhere else exceeds by nothing.
  const double excess = finite ? std::max(0.0, largest - least) : kInfinity;
  Check check = check_at_most(std::move(what), std::move(subject), "excess", excess, gate);
  if (at >= 0) {
    check.note = fmt::format("best other is {}, {:.2e} above the last of the best {}", at, largest - least,
                             best.size());
  }
  return check;
}

}  // namespace plumbline
