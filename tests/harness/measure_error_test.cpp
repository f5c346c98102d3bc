// measure_error against the same figures from a plain loop: every combination of types, places left out, what
// is not finite, views with strides, and lengths around blocks and segments.
#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include <catch2/catch.hpp>

#include "harness/metrics.h"

using namespace plumbline;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

void store(Tensor& tensor, std::int64_t i, double value) {
  const auto at = static_cast<std::size_t>(i);
  if (tensor.dtype() == DType::f64) tensor.values<double>()[at] = value;
  if (tensor.dtype() == DType::f32) tensor.values<float>()[at] = static_cast<float>(value);
  if (tensor.dtype() == DType::bf16) {
    const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(value));
    tensor.values<std::uint16_t>()[at] = static_cast<std::uint16_t>(bits >> 16);
  }
}

Tensor random_tensor(DType dtype, std::int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  Tensor tensor(dtype, Shape{count});
  for (std::int64_t i = 0; i < count; ++i)
    store(tensor, i, normal(random) * std::ldexp(1.0, int(random() % 9) - 4));
  return tensor;
}

// The definitions, one element after the other.
ErrorStats plainly(const TensorView& actual, const TensorView& expected, const TensorView& allowed = {}) {
  ErrorStats stats;
  long double absolute = 0, squares = 0, of_expected = 0, of_actual = 0, products = 0;
  const bool half = is_floating(actual.dtype) && actual.dtype != DType::f64;
  for (std::int64_t i = 0; i < actual.elements(); ++i) {
    if (allowed.data != nullptr && element_as_f64(allowed, i) == 0) continue;
    const double x = element_as_f64(actual, i), y = element_as_f64(expected, i);
    ++stats.compared;
    if (x != y) ++stats.different;
    if (x == y && !std::isfinite(x)) continue;
    if (!std::isfinite(x) || !std::isfinite(y)) {
      if (stats.not_finite++ == 0) stats.first_not_finite = i;
      continue;
    }
    const double error = std::fabs(x - y);
    if (stats.worst < 0 || error > stats.max_abs) stats.max_abs = error, stats.worst = i;
    stats.max_abs_expected = std::max(stats.max_abs_expected, std::fabs(y));
    stats.max_ulp = std::max(stats.max_ulp, error / (2 * half_spacing(y, half ? actual.dtype : DType::f32)));
    absolute += error;
    squares += error * error;
    of_expected += y * y;
    of_actual += x * x;
    products += x * y;
  }
  if (stats.compared == 0) return stats;
  stats.mean_abs = static_cast<double>(absolute / stats.compared);
  stats.rms = static_cast<double>(std::sqrt(squares / stats.compared));
  stats.relative_l2 = squares == 0 ? 0 : static_cast<double>(std::sqrt(squares / of_expected));
  const long double norms = std::sqrt(of_expected) * std::sqrt(of_actual);
  stats.cosine = norms > 0 ? static_cast<double>(products / norms) : (of_expected == of_actual ? 1 : 0);
  return stats;
}

void check_equal(const ErrorStats& fast, const ErrorStats& plain) {
  CHECK(fast.compared == plain.compared);
  CHECK(fast.different == plain.different);
  CHECK(fast.not_finite == plain.not_finite);
  CHECK(fast.first_not_finite == plain.first_not_finite);
  CHECK(fast.max_abs == plain.max_abs);
  CHECK(fast.worst == plain.worst);
  CHECK(fast.max_ulp == plain.max_ulp);
  CHECK(fast.max_abs_expected == plain.max_abs_expected);
  CHECK(fast.mean_abs == Approx(plain.mean_abs).epsilon(1e-12));
  CHECK(fast.rms == Approx(plain.rms).epsilon(1e-12));
  CHECK(fast.relative_l2 == Approx(plain.relative_l2).epsilon(1e-12));
  CHECK(fast.cosine == Approx(plain.cosine).epsilon(1e-12).margin(1e-12));
}

}  // namespace

TEST_CASE("measure_error: the figures of a plain loop, for all types and lengths") {
  const DType x = GENERATE(DType::f32, DType::f64, DType::bf16),
              y = GENERATE(DType::f32, DType::f64, DType::bf16);
  for (const std::int64_t count : {0, 1, 3, 4, 5, 2047, 2048, 2049, 5000}) {
    INFO(dtype_name(x) << " and " << dtype_name(y) << ", " << count);
    const Tensor actual = random_tensor(x, count, 1), expected = random_tensor(y, count, 2);
    check_equal(measure_error(actual.view(), expected.view()), plainly(actual.view(), expected.view()));
  }
}

TEST_CASE("measure_error: what is not finite is counted and left out of the sums, wherever it stands") {
  const DType dtype = GENERATE(DType::f32, DType::f64);
  for (const std::int64_t place : {0, 7, 2047, 2048, 4999}) {
    for (const auto& [a, b] :
         {std::pair(kNan, 1.0), {1.0, kNan}, {kInf, kInf}, {kInf, -kInf}, {kInf, 1.0}, {kNan, kNan}}) {
      INFO(place << ": " << a << " and " << b);
      Tensor actual = random_tensor(dtype, 5000, 3), expected = random_tensor(dtype, 5000, 4);
      store(actual, place, a);
      store(expected, place, b);
      check_equal(measure_error(actual.view(), expected.view()), plainly(actual.view(), expected.view()));
    }
  }
}

TEST_CASE("measure_error: zeros, subnormal and huge values") {
  const std::vector<double> values{0.0, -0.0, 1e-45, 3e-39, 1e-38, 1.2e-38, 3e38, -3e38, 1.0, 0.99999994};
  Tensor actual(DType::f32, Shape{100}), expected(DType::f32, Shape{100});
  for (std::int64_t i = 0; i < 100; ++i) {
    store(actual, i, values[static_cast<std::size_t>(i / 10)]);
    store(expected, i, values[static_cast<std::size_t>(i % 10)]);
  }
  check_equal(measure_error(actual.view(), expected.view()), plainly(actual.view(), expected.view()));
  Tensor wide_actual = to_f64(actual.view()), wide_expected = to_f64(expected.view());
  store(wide_actual, 3, 1e200);  // its square is infinite, it is not
  check_equal(measure_error(wide_actual.view(), wide_expected.view()),
              plainly(wide_actual.view(), wide_expected.view()));
}

TEST_CASE("measure_error: errors that f32 cannot tell apart") {
  // 1 + 1e-9 and 1 + 2e-9 are both 1 in f32, and 3e38 + 2e38 is beyond it.
  for (const std::int64_t place : {100, 3000, 9000}) {
    Tensor actual(DType::f32, Shape{10000}), expected(DType::f32, Shape{10000});
    for (std::int64_t i = 0; i < 10000; ++i) {
      store(actual, i, 1);
      store(expected, i, i == place ? -2e-9 : -1e-9);
    }
    store(expected, 7, 1e-12);  // the largest in units of its own size
    ErrorStats stats = measure_error(actual.view(), expected.view());
    CHECK(stats.worst == place);
    check_equal(stats, plainly(actual.view(), expected.view()));
    for (const std::int64_t i : {50, 2500, 8000}) {
      store(actual, i, 3e38);
      store(expected, i, i == 2500 ? -2.5e38 : -2e38);
    }
    stats = measure_error(actual.view(), expected.view());
    CHECK(stats.worst == 2500);
    check_equal(stats, plainly(actual.view(), expected.view()));
  }
}

TEST_CASE("measure_error: errors in ulp that f32 cannot tell apart") {
  // 1 + 1e-9 and 1 + 1.5e-9 are both 1 in f32, over numbers of one exponent; each block's largest error is an
  // exact one, of another element.
  Tensor actual(DType::f32, Shape{10000}), expected(DType::f32, Shape{10000});
  for (std::int64_t i = 0; i < 10000; ++i) {
    store(actual, i, i % 1000 == 7 ? 100 : 1);
    store(expected, i, i % 1000 == 7 ? 90 : (i == 5000 ? -1.5e-9 : -1e-9));
  }
  check_equal(measure_error(actual.view(), expected.view()), plainly(actual.view(), expected.view()));
}

TEST_CASE("measure_error: the largest error and the largest in ulp lie in different blocks") {
  Tensor expected = random_tensor(DType::f32, 20000, 8);
  Tensor actual = expected;
  store(actual, 1000, 500);
  store(expected, 15000, 1e-40);
  store(actual, 15000, 1e-3);
  store(expected, 18000, 3e38);  // its spacing is the largest there is
  store(actual, 18000, 2.9999999e38);
  const ErrorStats stats = measure_error(actual.view(), expected.view());
  check_equal(stats, plainly(actual.view(), expected.view()));
  CHECK(stats.worst == 18000);
}

TEST_CASE("measure_error: tensors that differ by rounding alone, subnormal numbers among them") {
  Tensor expected = random_tensor(DType::f32, 20000, 10), actual = expected;
  for (std::int64_t i = 0; i < 20000; ++i) {
    if (i % 100 == 0) store(expected, i, 1e-39 * static_cast<double>(i));
    store(actual, i, element_as_f64(expected.view(), i) * (1 + 1e-6 * static_cast<double>(i % 7)));
  }
  check_equal(measure_error(actual.view(), expected.view()), plainly(actual.view(), expected.view()));
}

TEST_CASE("measure_error: equal tensors") {
  const Tensor same = random_tensor(DType::f32, 5000, 9);
  const ErrorStats stats = measure_error(same.view(), same.view());
  CHECK(stats.worst == 0);
  CHECK(stats.different == 0);
  check_equal(stats, plainly(same.view(), same.view()));
}

TEST_CASE("measure_error: a mask, and views with strides") {
  const Tensor actual = random_tensor(DType::f32, 6000, 5), expected = random_tensor(DType::f64, 6000, 6);
  Tensor allowed(DType::boolean, Shape{6000});
  for (std::size_t i = 0; i < 6000; ++i) allowed.values<std::uint8_t>()[i] = i % 3 != 0;
  check_equal(measure_error(actual.view(), expected.view(), allowed.view()),
              plainly(actual.view(), expected.view(), allowed.view()));
  const TensorView turned(actual.view().data, DType::f32, Shape{60, 100}, Shape{1, 60});
  const TensorView straight(expected.view().data, DType::f64, Shape{60, 100});
  check_equal(measure_error(turned, straight), plainly(turned, straight));
}

TEST_CASE("measure_error: a tensor of many segments, its worst element in any of them") {
  constexpr std::int64_t kCount = (1 << 20) + 12345;
  const Tensor expected = random_tensor(DType::f32, kCount, 7);
  for (const std::int64_t place :
       {std::int64_t{0}, std::int64_t{(1 << 18) - 1}, std::int64_t{1 << 19}, kCount - 1}) {
    Tensor actual = expected;
    store(actual, place, 1000);
    const ErrorStats stats = measure_error(actual.view(), expected.view());
    CHECK(stats.worst == place);
    CHECK(stats.different == 1);
    check_equal(stats, plainly(actual.view(), expected.view()));
  }
}
