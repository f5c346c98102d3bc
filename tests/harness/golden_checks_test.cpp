// Goldens that keep samples: what is wrong at a kept place, in a norm or among the best must not pass.
#include <limits>
#include <numeric>
#include <vector>

#include <catch2/catch.hpp>

#include "harness/error.h"
#include "harness/golden_checks.h"

using namespace plumbline;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

Tensor row_of(const std::vector<double>& values) {
  return Tensor::from<double>(DType::f64, Shape{static_cast<std::int64_t>(values.size())},
                              std::span<const double>(values));
}

std::vector<double> ramp(int count) {
  std::vector<double> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), 1.0);
  return values;
}

Verdict rms_verdict(const std::vector<double>& actual, double own_rms, double factor = 4) {
  return check_rms("w", "s", row_of(actual).view(), row_of(ramp(4)).view(), own_rms, factor).verdict;
}

}  // namespace

TEST_CASE("golden checks: an error of the maker's own size passes, one beyond the factor does not") {
  std::vector<double> off = ramp(4);
  for (double& value : off) value += 3.9e-6;
  CHECK(rms_verdict(off, 1e-6) == Verdict::passed);
  for (double& value : off) value += 0.2e-6;
  CHECK(rms_verdict(off, 1e-6) == Verdict::failed);
  off = ramp(4);
  off[2] += 9e-6;  // one place alone: 9e-6 / sqrt(4) = 4.5e-6
  CHECK(rms_verdict(off, 1e-6) == Verdict::failed);
}

TEST_CASE("golden checks: where the maker's own run is exact, so must the subject's be") {
  CHECK(rms_verdict(ramp(4), 0) == Verdict::passed);
  std::vector<double> off = ramp(4);
  off[0] += 1e-15;
  CHECK(rms_verdict(off, 0) == Verdict::failed);
}

TEST_CASE("golden checks: NaN, infinity, another length and nothing at all never pass") {
  for (const double broken : {kNan, kInfinity}) {
    std::vector<double> off = ramp(4);
    off[1] = broken;
    CHECK(rms_verdict(off, 1e9) == Verdict::failed);
  }
  CHECK(rms_verdict(ramp(4), kNan) == Verdict::failed);
  CHECK(rms_verdict(ramp(3), 1e9) == Verdict::failed);
  CHECK(check_rms("w", "s", row_of({}).view(), row_of({}).view(), 1e9, 4).verdict == Verdict::failed);
}

TEST_CASE("golden checks: elements at places, and no place beyond the row") {
  const Tensor row = row_of(ramp(5));
  const std::vector<std::int64_t> places{4, 0, 2};
  const Tensor taken = elements_at(row.view(), places);
  CHECK(std::vector<double>(taken.values<double>().begin(), taken.values<double>().end()) ==
        std::vector<double>{5, 1, 3});
  CHECK_THROWS_AS(elements_at(row.view(), std::vector<std::int64_t>{5}), Error);
  CHECK_THROWS_AS(elements_at(row.view(), std::vector<std::int64_t>{-1}), Error);
}

TEST_CASE("golden checks: norms move no more than the rows do") {
  const std::vector<double> values{3, 4, 6, 8};
  const auto verdict = [&](const std::vector<double>& norms, double own_rms) {
    const Tensor rows = Tensor::from<double>(DType::f64, Shape{2, 2}, std::span<const double>(values));
    return check_norms("w", "s", rows.view(), row_of(norms).view(), own_rms, 4).verdict;
  };
  CHECK(verdict({5, 10}, 0) == Verdict::passed);
  CHECK(verdict({5 + 5e-6, 10 + 5e-6}, 1e-6) == Verdict::passed);  // gate 4e-6 sqrt(2)
  CHECK(verdict({5 + 6e-6, 10 + 6e-6}, 1e-6) == Verdict::failed);
  CHECK(verdict({10, 5}, 1e-6) == Verdict::failed);
  CHECK(verdict({5, kNan}, 1e9) == Verdict::failed);
  CHECK(verdict({5}, 1e9) == Verdict::failed);
}

TEST_CASE("golden checks: no other token may be better than the best") {
  const std::vector<std::int64_t> best{1, 3};
  const Tensor values = row_of({9, 8});
  const auto check = [&](const std::vector<double>& row) {
    return check_none_better("w", "s", row_of(row).view(), best, values.view(), 0.5);
  };
  CHECK(check({7, 9, 1, 8, 2}).verdict == Verdict::passed);
  CHECK(check({8.4, 9, 1, 8, 2}).verdict == Verdict::passed);  // within what the logits may be off
  CHECK(check({8.6, 9, 1, 8, 2}).verdict == Verdict::failed);
  CHECK(check({7, 9, 1, 8, 20}).measured == Approx(12));
  CHECK(check({7, 9, kNan, 8, 2}).verdict == Verdict::failed);
  CHECK(check({kNan, 9, 1, 8, 2}).verdict == Verdict::failed);
  CHECK(check({7, 9, kInfinity, 8, 2}).verdict == Verdict::failed);
  CHECK(check({9, 8}).verdict == Verdict::failed);  // no other token: nothing was compared
}
