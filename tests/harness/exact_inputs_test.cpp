#include <limits>

#include <catch2/catch.hpp>

#include "harness/exact_inputs.h"

using namespace plumbline;

TEST_CASE("exact inputs: small integers are odd, of both signs, and depend on key and index alone") {
  int least = 100, most = -100, positive = 0;
  for (std::int64_t i = 0; i < 4000; ++i) {
    const int value = small_integer(integer_key("a"), i);
    CHECK(value % 2 != 0);
    least = std::min(least, value);
    most = std::max(most, value);
    positive += value > 0 ? 1 : 0;
  }
  CHECK(least == -kLargestSmallInteger);
  CHECK(most == kLargestSmallInteger);
  CHECK(positive > 1800);
  CHECK(positive < 2200);
  CHECK(integer_key("a") != integer_key("b"));
}

TEST_CASE("exact inputs: a linear layer, a sum and masks by hand") {
  const std::vector<std::int64_t> x{1, 2, 3, -1, 0, 5};
  const std::vector<std::int8_t> weight{1, 1, 1, 2, 0, -1}, bias{10, -3};
  CHECK(integer_linear(x, weight, bias, 3) == Integers{16, -4, 14, -10});
  CHECK(integer_linear(x, weight, {}, 3) == Integers{6, -1, 4, -7});
  CHECK(integer_sum(x, x) == Integers{2, 4, 6, -2, 0, 10});
  CHECK(integer_mask(2, 1, 0) == Integers{1, 1, 0, 1, 1, 1});
  CHECK(integer_mask(2, 1, 1) == Integers{0, 1, 0, 0, 0, 1});
  CHECK(integer_mask(1, 3, 2) == Integers{0, 0, 1, 1});
}

TEST_CASE("exact inputs: sums that f32 could not hold are refused") {
  const std::vector<std::int64_t> x(8, 1 << 20);
  const std::vector<std::int8_t> weight(8, 15);
  CHECK_THROWS_AS(integer_linear(x, weight, {}, 8), InternalError);
}

TEST_CASE("exact inputs: what is no whole number equals nothing that is expected") {
  const std::vector<float> values{1, 2.5f, std::numeric_limits<float>::quiet_NaN(), -4};
  const Tensor tensor = Tensor::from<float>(DType::f32, {4}, values);
  const Integers whole = integers_of(tensor.view());
  CHECK(whole[0] == 1);
  CHECK(whole[3] == -4);
  ExactTally tally;
  tally.compare("x", tensor.view(), std::span<const std::int64_t>(integer_sum(whole, Integers(4, 0))));
  CHECK(tally.different == 2);
}

TEST_CASE("exact inputs: a tally counts, names the first difference, and misses nothing") {
  const Tensor tensor = Tensor::from<float>(DType::f32, {2, 2}, std::vector<float>{1, 2, 3, 4});
  ExactTally tally;
  tally.compare("same", tensor.view(), std::span<const std::int64_t>(Integers{1, 2, 3, 4}));
  CHECK(tally.different == 0);
  CHECK(tally.first.empty());
  tally.compare("other", tensor.view(), std::span<const std::int64_t>(Integers{1, 2, 0, 0}));
  CHECK(tally.different == 2);
  CHECK(tally.first == "at [1, 0] of other: 3 where 0 is right");
  tally.compare("short", tensor.view(), std::span<const std::int64_t>(Integers{1}));
  CHECK(tally.different == 3);
  tally.compare("not there", TensorView(nullptr, DType::f32, Shape{0}),
                std::span<const std::int64_t>(Integers{}));
  CHECK(tally.different == 4);  // nothing compared is no agreement
  CHECK(tally.tensors == 4);
  const Tensor broken =
      Tensor::from<float>(DType::f32, {1}, std::vector<float>{std::numeric_limits<float>::quiet_NaN()});
  tally.compare("nan", broken.view(), std::span<const std::int64_t>(Integers{0}));
  CHECK(tally.different == 5);
}
