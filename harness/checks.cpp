#include "harness/checks.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

namespace plumbline {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Check wrong_shape(Check check, const TensorView& actual, const TensorView& expected) {
  check.verdict = Verdict::failed;
  check.measured = check.share = check.smallest_gate = kInfinity;
  check.note = fmt::format("shape {} {} where {} {} is right", actual.shape.to_string(),
                           dtype_name(actual.dtype), expected.shape.to_string(), dtype_name(expected.dtype));
  return check;
}

bool comparable(const TensorView& actual, const TensorView& expected) {
  return actual.shape == expected.shape && actual.shape.rank() > 0 && actual.elements() > 0;
}

void set_verdict(Check& check) {
  check.smallest_gate = check.measured;
  check.share = check.gate > 0 ? check.measured / check.gate : (check.measured == 0 ? 0 : kInfinity);
  const bool ok = std::isfinite(check.measured) && check.measured <= check.gate;
  check.verdict = ok ? Verdict::passed : Verdict::failed;
}

}  // namespace

Check check_at_most(std::string what, std::string subject, std::string metric, double measured, double gate) {
  Check check;
  check.what = std::move(what);
  check.subject = std::move(subject);
  check.metric = std::move(metric);
  check.measured = measured;
  check.gate = gate;
  set_verdict(check);
  return check;
}

Check check_close(std::string what, std::string subject, const TensorView& actual, const TensorView& expected,
                  double gate) {
  if (!comparable(actual, expected)) {
    Check check;
    check.what = std::move(what);
    check.subject = std::move(subject);
    check.metric = "max abs";
    check.gate = gate;
    return wrong_shape(std::move(check), actual, expected);
  }
  const ErrorStats stats = measure_error(actual, expected);
  const double measured = stats.proven_finite() ? stats.max_abs : kInfinity;
  return check_at_most(std::move(what), std::move(subject), "max abs", measured, gate);
}

Check check_same_bits(std::string what, std::string subject, const TensorView& actual,
                      const TensorView& expected) {
  Check check;
  check.what = std::move(what);
  check.subject = std::move(subject);
  check.metric = "elements of other bits";
  if (!comparable(actual, expected) || actual.dtype != expected.dtype) {
    return wrong_shape(std::move(check), actual, expected);
  }
  const Tensor a = copy_host(actual), b = copy_host(expected);
  const std::size_t size = dtype_size(a.dtype());
  std::int64_t different = 0;
  for (std::size_t offset = 0; offset < a.bytes().size(); offset += size) {
    different += std::memcmp(a.bytes().data() + offset, b.bytes().data() + offset, size) != 0 ? 1 : 0;
  }
  check.measured = static_cast<double>(different);
  set_verdict(check);
  return check;
}

std::vector<Check> check_logits(const std::string& subject, const TensorView& actual,
                                const TensorView& expected, double gate_max, double gate_mean) {
  if (!comparable(actual, expected) || actual.shape.rank() != 2) {
    Check check;
    check.what = "final logits";
    check.subject = subject;
    check.metric = "max abs";
    check.gate = gate_max;
    return {wrong_shape(std::move(check), actual, expected)};
  }
  // Per row, so that each is held to its own scale: error / max(1, largest |expected|).
  double largest = 0, mean = 0;
  for (std::int64_t row = 0; row < actual.shape[0]; ++row) {
    const ErrorStats stats = measure_error(actual.rows(row, row + 1), expected.rows(row, row + 1));
    const double scale = std::max(1.0, stats.max_abs_expected);
    largest = std::max(largest, stats.proven_finite() ? stats.max_abs / scale : kInfinity);
    mean += stats.proven_finite() ? stats.mean_abs / scale : kInfinity;
  }
  mean /= static_cast<double>(actual.shape[0]);
  return {check_at_most("final logits", subject, "max abs / row scale", largest, gate_max),
          check_at_most("final logits", subject, "mean abs / row scale", mean, gate_mean)};
}

Check check_sums_to_one(std::string what, std::string subject, const TensorView& probabilities, double gate) {
  const Tensor values = to_f64(probabilities);
  const int rank = probabilities.shape.rank();
  const std::int64_t length = rank > 0 ? probabilities.shape[rank - 1] : 0;
  double largest = length > 0 && values.elements() > 0 ? 0 : kInfinity;
  for (std::size_t begin = 0; length > 0 && begin < values.values<double>().size();
       begin += static_cast<std::size_t>(length)) {
    double sum = 0;
    for (const double p : values.values<double>().subspan(begin, static_cast<std::size_t>(length))) sum += p;
    const double error = std::fabs(sum - 1);
    largest = std::max(largest, std::isfinite(error) ? error : kInfinity);
  }
  return check_at_most(std::move(what), std::move(subject), "|sum - 1|", largest, gate);
}

Check check_same_draw(std::string what, std::string subject, std::int64_t actual_token,
                      std::int64_t expected_token, const TensorView& expected, const TensorView& bound,
                      double lambda, double uniform) {
  Check check = check_at_most(std::move(what), std::move(subject), "other token",
                              actual_token != expected_token ? 1 : 0, 0);
  if (check.verdict == Verdict::passed) return check;
  const auto [first, last] = std::minmax(actual_token, expected_token);
  check.note = fmt::format("token {} where {} is right", actual_token, expected_token);
  if (first < 0 || last >= expected.elements()) return check;
  // Both sides' probabilities may be off, so an edge is uncertain by twice the sum of the bounds before it.
  double cumulative = 0, uncertainty = 0, farthest = 0;
  bool within = true;
  for (std::int64_t id = 0; id < last; ++id) {
    cumulative += element_as_f64(expected, id);
    uncertainty += 2 * lambda * element_as_f64(bound, id);
    if (id < first) continue;
    const double distance = std::fabs(cumulative - uniform);
    within = within && distance <= uncertainty;
    farthest = std::max(farthest, distance);
  }
  if (within) {
    check.verdict = Verdict::skipped;
    check.note += fmt::format(": tie-flip, the uniform lies {:.1e} from the edge, which is certain to {:.1e}",
                              farthest, uncertainty);
  }
  return check;
}

Check check_forbidden_weight(std::string what, std::string subject, const TensorView& probabilities,
                             const TensorView& allowed, double gate) {
  const Tensor p = to_f64(probabilities), mask = to_f64(allowed);
  const auto places = static_cast<std::size_t>(mask.elements());
  double largest = 0;
  bool fits = places > 0 && p.elements() > 0 && static_cast<std::size_t>(p.elements()) % places == 0;
  for (std::size_t i = 0; fits && i < p.values<double>().size(); ++i) {
    if (mask.values<double>()[i % places] != 0) continue;
    const double weight = std::fabs(p.values<double>()[i]);
    largest = std::max(largest, std::isfinite(weight) ? weight : kInfinity);
  }
  return check_at_most(std::move(what), std::move(subject), "largest forbidden weight",
                       fits ? largest : kInfinity, gate);
}

}  // namespace plumbline
