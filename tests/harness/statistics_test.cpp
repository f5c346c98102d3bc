// Statistics against answers known from elsewhere: tables of distributions, and sums done by hand.
#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

#include "harness/statistics.h"

using namespace plumbline;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

template <typename T>
Tensor tensor(DType dtype, Shape shape, std::vector<T> values) {
  return Tensor::from<T>(dtype, shape, values);
}

}  // namespace

TEST_CASE("statistics: the regularised incomplete beta function where it has a closed form") {
  for (const double x : {0.0, 1e-6, 0.1, 0.5, 0.9, 0.999999, 1.0}) {
    CHECK(regularised_beta(1, 1, x) == Approx(x).epsilon(1e-13));
    CHECK(regularised_beta(3, 1, x) == Approx(x * x * x).epsilon(1e-13));
    CHECK(regularised_beta(1, 4, x) == Approx(-std::expm1(4 * std::log1p(-x))).epsilon(1e-12));
    CHECK(regularised_beta(0.5, 0.5, x) == Approx(2 / M_PI * std::asin(std::sqrt(x))).epsilon(1e-12));
  }
  CHECK(regularised_beta(500, 0.5, 0.5) < 1e-100);
}

TEST_CASE("statistics: Student's t against its closed forms and the printed table") {
  for (const double t : {0.1, 1.0, 2.5, 40.0}) {
    CHECK(student_two_sided(t, 1) == Approx(1 - 2 / M_PI * std::atan(t)).epsilon(1e-12));
    CHECK(student_two_sided(t, 2) == Approx(1 - t / std::sqrt(2 + t * t)).epsilon(1e-9));
    CHECK(student_two_sided(-t, 2) == student_two_sided(t, 2));
  }
  CHECK(student_two_sided(2.228, 10) == Approx(0.05).epsilon(1e-3));
  CHECK(student_two_sided(3.169, 10) == Approx(0.01).epsilon(1e-3));
  CHECK(student_two_sided(1.984, 100) == Approx(0.05).epsilon(1e-3));
  CHECK(student_two_sided(1.96, 1e6) == Approx(0.05).epsilon(1e-3));
  CHECK(student_two_sided(0, 5) == Approx(1));
  CHECK(student_two_sided(kInfinity, 5) == 0);
}

TEST_CASE("statistics: Pearson's r of a small sample, with its p") {
  // Sums by hand: xy 8, xx 10, yy 10; t = 0.8 sqrt(3 / 0.36) = 2.3094 with 3 degrees of freedom.
  const std::vector<double> x{1, 2, 3, 4, 5}, y{2, 1, 4, 3, 5};
  const Correlation found = correlate(x, y);
  CHECK(found.r == Approx(0.8));
  CHECK(found.n == 5);
  CHECK(found.p == Approx(0.104088).epsilon(1e-5));
  CHECK(correlate_with_index(std::vector<double>{5, 3, 1}).r == Approx(-1));
  CHECK(correlate_with_index(std::vector<double>{5, 3, 1}).p == Approx(0).margin(1e-6));
}

TEST_CASE("statistics: what says nothing correlates with nothing") {
  CHECK(correlate_with_index(std::vector<double>{1, 2}).p == 1);
  CHECK(correlate_with_index(std::vector<double>{7, 7, 7, 7}).r == 0);
  CHECK(correlate_with_index(std::vector<double>{1, kNan, 3, 4}).r == 0);
  CHECK(correlate_with_index(std::vector<double>{1, kInfinity, 3, 4}).p == 1);
  CHECK(correlate_with_index(std::vector<double>{}).n == 0);
}

TEST_CASE("statistics: means and medians leave out what is no number") {
  CHECK(geometric_mean(std::vector<double>{2, 8}) == Approx(4));
  CHECK(geometric_mean(std::vector<double>{2, 0, kNan, kInfinity, 8}) == Approx(4));
  CHECK(std::isnan(geometric_mean(std::vector<double>{0})));
  CHECK(median({3, 1, 2}) == 2);
  CHECK(median({4, 1, 3, 2}) == 2.5);
  CHECK(std::isnan(median({})));
}

TEST_CASE("statistics: errors along each axis, without the places that do not count") {
  const Tensor expected(DType::f64, {2, 3});
  const Tensor actual = tensor<float>(DType::f32, {2, 3}, {0, 3, 0, -4, 0, 12});
  std::vector<AxisErrors> axes = error_by_axis(actual.view(), expected.view());
  REQUIRE(axes.size() == 2);
  CHECK(axes[0].max_abs == std::vector<double>{3, 12});
  CHECK(axes[0].squares == std::vector<double>{9, 160});
  CHECK(axes[1].max_abs == std::vector<double>{4, 3, 12});
  CHECK(axes[1].rms(2) == Approx(std::sqrt(72)));
  const Tensor allowed = tensor<std::uint8_t>(DType::boolean, {2, 3}, {1, 1, 1, 1, 1, 0});
  axes = error_by_axis(actual.view(), expected.view(), allowed.view());
  CHECK(axes[1].max_abs == std::vector<double>{4, 3, 0});
  CHECK(axes[1].elements == std::vector<std::int64_t>{2, 2, 1});
}

TEST_CASE("statistics: a NaN is an infinite error, the same infinity none") {
  const Tensor expected = tensor<double>(DType::f64, {3}, {1, kInfinity, 1});
  const Tensor actual = tensor<double>(DType::f64, {3}, {kNan, kInfinity, 1});
  CHECK(error_by_axis(actual.view(), expected.view())[0].max_abs == std::vector<double>{kInfinity, 0, 0});
}

TEST_CASE(
    "statistics: the worst points are those nearest to their gates, not those with the largest errors") {
  Replay replay;
  replay.expected = tensor<double>(DType::f64, {2, 2}, {1, 100, 10, 5});
  replay.bound = tensor<double>(DType::f64, {2, 2}, {0.1, 10, 1, 1});
  const Tensor actual = tensor<float>(DType::f32, {2, 2}, {1.5f, 101, 10, 7});
  Tolerance tolerance;
  tolerance.rule = Rule::bound;
  tolerance.lambda = 2;
  std::vector<WorstPoint> worst = worst_points(actual.view(), replay, tolerance);
  REQUIRE(worst.size() == 3);  // one is exact
  CHECK(worst[0].place.index == std::vector<std::int64_t>{0, 0});
  CHECK(worst[0].share == Approx(2.5));
  CHECK(worst[1].place.index == std::vector<std::int64_t>{1, 1});
  CHECK(worst[1].expected == 5);
  CHECK(worst[1].actual == 7);
  CHECK(worst[1].gate == 2);
  CHECK(worst[2].share == Approx(0.05));
  CHECK(worst_points(actual.view(), replay, tolerance, 1).size() == 1);
  // A ceiling, times the row's largest value: 0.001 * 100 beside 0.2 and 20.
  tolerance.ceiling = 0.001;
  worst = worst_points(actual.view(), replay, tolerance);
  CHECK(worst[0].place.index == std::vector<std::int64_t>{1, 1});
  CHECK(worst[0].gate == Approx(0.01));
  CHECK(worst[1].gate == Approx(0.1));
}

TEST_CASE("statistics: of an exact op every difference is infinitely far beyond its gate") {
  Replay replay;
  replay.expected = tensor<std::int64_t>(DType::i64, {3}, {1, 2, 3});
  const Tensor actual = tensor<std::int64_t>(DType::i64, {3}, {1, 9, 3});
  const std::vector<WorstPoint> worst = worst_points(actual.view(), replay, Tolerance{});
  REQUIRE(worst.size() == 1);
  CHECK(worst[0].share == kInfinity);
  CHECK(worst[0].error == 7);
}
