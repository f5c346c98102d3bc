#include <cmath>
#include <limits>
#include <vector>

#include <catch2/catch.hpp>

#include "harness/metrics.h"
#include "harness/tensor.h"

using namespace plumbline;

namespace {

Tensor f32(Shape shape, std::vector<float> values) {
  return Tensor::from<float>(DType::f32, shape, values);
}

}  // namespace

TEST_CASE("dtype: f16 and bf16 convert exactly, subnormals and infinities included") {
  CHECK(f16_to_f32(0x3c00) == 1.0f);
  CHECK(f16_to_f32(0xc000) == -2.0f);
  CHECK(f16_to_f32(0x7bff) == 65504.0f);
  CHECK(f16_to_f32(0x0001) == std::ldexp(1.0f, -24));
  CHECK(f16_to_f32(0x03ff) == std::ldexp(1023.0f, -24));
  CHECK(std::isinf(f16_to_f32(0x7c00)));
  CHECK(std::isnan(f16_to_f32(0x7e00)));
  CHECK(std::signbit(f16_to_f32(0x8000)));
  CHECK(bf16_to_f32(0x3f80) == 1.0f);
  CHECK(bf16_to_f32(0x0001) == std::ldexp(1.0f, -133));
}

TEST_CASE("dtype: half a spacing is what one rounding may cost") {
  CHECK(half_spacing(1.0, DType::f32) == std::ldexp(1.0, -24));
  CHECK(half_spacing(-1.5, DType::bf16) == std::ldexp(1.0, -8));
  CHECK(half_spacing(2.0, DType::f16) == std::ldexp(1.0, -10));
  CHECK(half_spacing(0.0, DType::f16) == std::ldexp(1.0, -25));
  CHECK(half_spacing(1e-9, DType::f16) == std::ldexp(1.0, -25));
  CHECK(half_spacing(3.0, DType::f64) == 0.0);
}

TEST_CASE("tensor view: rows and strides address the elements they name") {
  const Tensor tensor = f32({3, 2}, {1, 2, 3, 4, 5, 6});
  const TensorView last = tensor.view().last_rows(1);
  CHECK(element_as_f64(last, 0) == 5);
  const TensorView transposed(tensor.view().data, DType::f32, Shape{2, 3}, Shape{1, 2});
  CHECK_FALSE(transposed.is_contiguous());
  const Tensor copy = copy_host(transposed);
  CHECK(std::vector<float>(copy.values<float>().begin(), copy.values<float>().end()) ==
        std::vector<float>{1, 3, 5, 2, 4, 6});
  CHECK_THROWS_AS(tensor.view().rows(2, 4), InternalError);
}

TEST_CASE("metrics: known differences give known figures, whatever the strides") {
  const Tensor expected = f32({2, 2}, {1, 2, 3, 4});
  const Tensor actual = f32({2, 2}, {1, 2.5, 3, 3});
  const ErrorStats stats = measure_error(actual.view(), expected.view());
  CHECK(stats.compared == 4);
  CHECK(stats.different == 2);
  CHECK(stats.max_abs == 1.0);
  CHECK(stats.worst == 3);
  CHECK(stats.mean_abs == 1.5 / 4);
  CHECK(stats.rms == std::sqrt(1.25 / 4));
  CHECK(stats.relative_l2 == Approx(std::sqrt(1.25 / 30)));
  const TensorView expected_t(expected.view().data, DType::f32, Shape{2, 2}, Shape{1, 2});
  const TensorView actual_t(actual.view().data, DType::f32, Shape{2, 2}, Shape{1, 2});
  const ErrorStats transposed = measure_error(actual_t, expected_t);
  CHECK(transposed.max_abs == stats.max_abs);
  CHECK(transposed.worst == 3);
  CHECK(transposed.rms == stats.rms);
}

TEST_CASE("metrics: one ulp is one ulp, and NaN is counted, not averaged") {
  const float next = std::nextafter(8.0f, 9.0f);
  CHECK(measure_error(f32({1}, {next}).view(), f32({1}, {8.0f}).view()).max_ulp == 1.0);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const ErrorStats stats = measure_error(f32({2}, {nan, 1}).view(), f32({2}, {1, 1}).view());
  CHECK(stats.not_finite == 1);
  CHECK(stats.first_not_finite == 0);
  CHECK_FALSE(stats.proven_finite());
}

TEST_CASE("metrics: logits are compared as distributions, ties going to the lowest index") {
  const Tensor same = f32({3}, {1, 5, 5});
  const LogitComparison equal = compare_logits(same.view(), same.view());
  CHECK(equal.expected_argmax == 1);
  CHECK(equal.expected_margin == 0);
  CHECK(equal.kl == Approx(0).margin(1e-15));
  CHECK(equal.top5_shared == 3);
  const LogitComparison other = compare_logits(f32({3}, {1, 5, 6}).view(), same.view());
  CHECK(other.actual_argmax == 2);
  CHECK(other.kl > 0.1);
}
