#include "reference/mask.h"

#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

#include "reference/config.h"
#include "reference/rope.h"
#include "tests/reference/fixtures.h"

using namespace plumbline;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

std::string rows_of(const Tensor& mask) {
  std::string text;
  const std::int64_t keys = mask.shape()[mask.shape().rank() - 1];
  for (std::int64_t i = 0; i < mask.elements(); ++i) {
    if (i > 0 && i % keys == 0) text += " ";
    text += element_as_f64(mask.view(), i) != 0.0 ? "1" : "0";
  }
  return text;
}

Tensor booleans(Shape shape, const std::vector<std::uint8_t>& values) {
  return Tensor::from<std::uint8_t>(DType::boolean, shape, values);
}

double at(const Tensor& tensor, std::int64_t index) {
  return element_as_f64(tensor.view(), index);
}

}  // namespace

TEST_CASE("mask: causal, and the diagonal ends at the bottom right", "[reference][mask]") {
  CHECK(rows_of(reference::allowed_mask(3, 0, std::nullopt)) == "100 110 111");
  CHECK(rows_of(reference::allowed_mask(2, 3, std::nullopt)) == "11110 11111");
}

TEST_CASE("mask: a window of W shows exactly W keys, itself included", "[reference][mask]") {
  CHECK(rows_of(reference::allowed_mask(4, 0, 2)) == "1000 1100 0110 0011");
  CHECK(rows_of(reference::allowed_mask(2, 3, 3)) == "01110 00111");
  CHECK(rows_of(reference::allowed_mask(2, 1, 1)) == "010 001");
  CHECK_THROWS_AS(reference::allowed_mask(2, 0, 0), Error);
}

TEST_CASE("mask: positions count on from the cache", "[reference][mask]") {
  const Tensor positions = reference::position_ids(5, 3);
  CHECK(positions.dtype() == DType::i64);
  CHECK(positions.values<std::int64_t>()[0] == 5);
  CHECK(positions.values<std::int64_t>()[2] == 7);
}

TEST_CASE("mask: left-padded positions are cumsum(mask) - 1", "[reference][mask]") {
  const std::vector<std::uint8_t> real{0, 0, 1, 1, 1, 1, 1, 1};
  const Tensor mask = Tensor::from<std::uint8_t>(DType::boolean, {2, 4}, real);
  const Tensor positions = reference::left_padded_positions(mask.view());
  const std::vector<std::int64_t> expected{-1, -1, 0, 1, 0, 1, 2, 3};
  for (std::size_t i = 0; i < 8; ++i) CHECK(positions.values<std::int64_t>()[i] == expected[i]);
}

TEST_CASE("mask: a batch filled up at its left sees no pad; one mask repeats over a batch",
          "[reference][mask]") {
  const Tensor real = booleans({2, 4}, {0, 0, 1, 1, 1, 1, 1, 1});
  CHECK(rows_of(reference::padded_mask(real.view(), 4, std::nullopt)) ==
        "0000 0000 0010 0011 1000 1100 1110 1111");
  CHECK(rows_of(reference::padded_mask(real.view(), 2, 2)) == "0010 0011 0110 0011");
  const Tensor batch = reference::expanded_mask(reference::allowed_mask(2, 1, std::nullopt).view(), 2);
  CHECK(batch.shape() == Shape{2, 1, 2, 3});
  CHECK(rows_of(batch) == "110 111 110 111");
}

TEST_CASE("mask: what is added is the form's number as the type holds it, and sums overflow",
          "[reference][mask]") {
  using reference::Forbidding;
  const Tensor allowed = booleans({1, 2}, {1, 0});
  struct Row {
    DType dtype;
    double minus_1e9, lowest;
  };
  for (const auto& [dtype, minus_1e9, lowest] :
       {Row{DType::f32, -1e9, -0x1.fffffep127}, Row{DType::bf16, -998244352.0, -0x1.fep127},
        Row{DType::f16, -kInfinity, -65504.0}}) {
    const auto mask = [&](Forbidding form) { return reference::additive_mask(allowed.view(), form, dtype); };
    CHECK(mask(Forbidding::minus_1e9).dtype() == dtype);
    CHECK(at(mask(Forbidding::minus_1e9), 0) == 0.0);
    CHECK(at(mask(Forbidding::minus_1e9), 1) == minus_1e9);
    CHECK(at(mask(Forbidding::lowest_finite), 1) == lowest);
    CHECK(at(mask(Forbidding::minus_infinity), 1) == -kInfinity);
    const Tensor twice =
        reference::add_mask(mask(Forbidding::lowest_finite).view(), mask(Forbidding::lowest_finite).view());
    CHECK(at(twice, 0) == 0.0);
    CHECK(at(twice, 1) == -kInfinity);
  }
}

TEST_CASE("mask: a row in which nothing is allowed is NaN, uniform, or 0, by how it is masked",
          "[reference][mask]") {
  using reference::Forbidding;
  const Tensor allowed = booleans({2, 4}, {0, 0, 0, 0, 1, 0, 1, 1});
  const std::vector<float> values{1, -2, 3, 0.5f, 1, -2, 3, 0.5f};
  const Tensor scores = Tensor::from<float>(DType::f32, {1, 2, 4}, values);
  const auto weights = [&](Forbidding form) {
    const Tensor mask = reference::additive_mask(allowed.view(), form, DType::f32);
    return reference::masked_softmax(reference::add_mask(scores.view(), mask.view()).view());
  };
  const Tensor ours = reference::allowed_softmax(scores.view(), allowed.view());
  const double sum = std::exp(1 - 3.0) + 1 + std::exp(0.5 - 3.0);
  for (std::int64_t i = 0; i < 4; ++i) {
    CHECK(std::isnan(at(weights(Forbidding::minus_infinity), i)));
    CHECK(at(weights(Forbidding::minus_1e9), i) == 0.25);
    CHECK(at(weights(Forbidding::lowest_finite), i) == 0.25);
    CHECK(at(ours, i) == 0.0);
    const double right = i == 1 ? 0.0 : std::exp(double{values[static_cast<std::size_t>(i)]} - 3) / sum;
    CHECK(at(ours, 4 + i) == Approx(right).margin(i == 1 ? 0.0 : 1e-7));
    CHECK(at(weights(Forbidding::minus_infinity), 4 + i) == at(ours, 4 + i));
  }
}

TEST_CASE("mask: empty masks, overflowing sizes and positions are refused", "[reference][mask]") {
  using reference::Forbidding;
  const Tensor none(DType::boolean, {0, 4}), some = reference::allowed_mask(2, 0, {});
  const Tensor scores(DType::f32, {2, 3});
  CHECK_THROWS_AS(reference::allowed_mask(0, 3, {}), Error);
  CHECK_THROWS_AS(reference::allowed_mask(1, -3, {}), Error);
  CHECK_THROWS_AS(reference::allowed_mask(2, kMost - 1, {}), Error);
  CHECK_THROWS_AS(reference::allowed_mask(1'000'000, kMost / 1000, {}), Error);
  CHECK_THROWS_AS(reference::expanded_mask(some.view(), 0), Error);
  CHECK_THROWS_AS(reference::expanded_mask(none.view(), 1), Error);
  CHECK_THROWS_AS(reference::padded_mask(none.view(), 1, {}), Error);
  CHECK_THROWS_AS(reference::padded_mask(some.view(), 3, {}), Error);
  CHECK_THROWS_AS(reference::additive_mask(none.view(), Forbidding::minus_1e9, DType::f32), Error);
  CHECK_THROWS_AS(reference::additive_mask(some.view(), Forbidding::minus_1e9, DType::i64), Error);
  CHECK_THROWS_AS(reference::add_mask(scores.view(), some.view()), Error);
  CHECK_THROWS_AS(reference::masked_softmax(none.view()), Error);
  CHECK_THROWS_AS(reference::allowed_softmax(scores.view(), some.view()), Error);
  CHECK_THROWS_AS(reference::position_ids(-1, 2), Error);
  CHECK_THROWS_AS(reference::position_ids(2, -1), Error);
  CHECK(reference::position_ids(reference::kLargestPosition, 1).elements() == 1);
  CHECK_THROWS_AS(reference::position_ids(reference::kLargestPosition, 2), Error);
  CHECK_THROWS_AS(reference::position_ids(kMost - 1, 4), Error);
  CHECK_THROWS_AS(reference::position_ids(1, kMost), Error);
  CHECK_THROWS_AS(reference::left_padded_positions(none.view()), Error);
  CHECK_THROWS_AS(reference::left_padded_positions(booleans({2, 2}, {0, 1, 0, 0}).view()), Error);
}

TEST_CASE("mask: cos and sin of the real angle stand beside those of the f32 angle", "[reference][mask]") {
  const ModelConfig config = reference::load_config(test::tiny_model());
  const std::vector<std::int64_t> positions{0, 3, 1'000'000};
  const reference::CosSin real = reference::real_cos_sin(config, positions);
  const double pairs = static_cast<double>(config.head_dim / 2);
  for (std::int64_t i = 0; i < 3 * config.head_dim; ++i) {
    const double pair = static_cast<double>(i % (config.head_dim / 2));
    const double angle = static_cast<double>(positions[static_cast<std::size_t>(i / config.head_dim)]) *
                         std::pow(config.rope.theta, -pair / pairs);
    CHECK(at(real.cos, i) == Approx(std::cos(angle)).margin(1e-9));
    CHECK(at(real.sin, i) == Approx(std::sin(angle)).margin(1e-9));
  }
  for (const std::int64_t position : {std::int64_t{-1}, reference::kLargestPosition + 1}) {
    CHECK_THROWS_AS(reference::real_cos_sin(config, std::span(&position, 1)), Error);
    CHECK_THROWS_AS(reference::cos_sin(config, std::span(&position, 1), DType::f32), Error);
  }
}
