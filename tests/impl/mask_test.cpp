#include "impl/mask.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
constexpr MaskForm kForms[] = {MaskForm::minus_1e9, MaskForm::minus_infinity, MaskForm::lowest_finite};

// "100 110": a mask's rows, the batch's one after the other.
std::string rows_of(const TensorView& mask) {
  std::string text;
  const std::int64_t keys = mask.shape[mask.shape.rank() - 1];
  for (std::int64_t i = 0; i < mask.elements(); ++i) {
    if (i > 0 && i % keys == 0) text += ' ';
    text += element_as_f64(mask, i) != 0.0 ? '1' : '0';
  }
  return text;
}

std::string rows_of(const Tensor& mask) {
  return rows_of(mask.view());
}

Tensor booleans(Shape shape, const std::vector<std::uint8_t>& values) {
  return Tensor::from<std::uint8_t>(DType::boolean, shape, values);
}

Tensor floats(Shape shape, const std::vector<float>& values) {
  return Tensor::from<float>(DType::f32, shape, values);
}

std::vector<double> numbers(const Tensor& tensor) {
  const Tensor wide = to_f64(tensor.view());
  return {wide.values<double>().begin(), wide.values<double>().end()};
}

// Exact in half types: zeros beside `last`.
Tensor halves(DType dtype, std::int64_t keys, std::uint16_t last) {
  Tensor scores(dtype, {1, keys});
  scores.values<std::uint16_t>().back() = last;
  return scores;
}

}  // namespace

TEST_CASE("mask: causal, the diagonal at the bottom right, windows of exactly W keys, literally") {
  CHECK(rows_of(allowed_mask(3, 0, std::nullopt)) == "100 110 111");
  CHECK(rows_of(allowed_mask(2, 3, std::nullopt)) == "11110 11111");
  CHECK(rows_of(allowed_mask(1, 0, std::nullopt)) == "1");
  CHECK(rows_of(allowed_mask(4, 0, 2)) == "1000 1100 0110 0011");
  CHECK(rows_of(allowed_mask(2, 3, 3)) == "01110 00111");
  CHECK(rows_of(allowed_mask(2, 1, 1)) == "010 001");
  CHECK(rows_of(allowed_mask(2, 1, kMost)) == "110 111");
}

TEST_CASE("mask: for a batch it is a view that repeats, with nothing copied") {
  const Tensor mask = allowed_mask(2, 1, std::nullopt);
  const TensorView batch = over_batch(mask.view(), 3);
  CHECK(batch.shape == Shape{3, 1, 2, 3});
  CHECK(batch.data == mask.view().data);
  CHECK(rows_of(batch) == "110 111 110 111 110 111");
}

TEST_CASE("mask: a batch filled up at its left sees no pad, and its pads nothing") {
  const Tensor real = booleans({2, 4}, {0, 0, 1, 1, 1, 1, 1, 1});
  CHECK(rows_of(padded_mask(real.view(), 4, std::nullopt)) == "0000 0000 0010 0011 1000 1100 1110 1111");
  CHECK(rows_of(padded_mask(real.view(), 2, std::nullopt)) == "0010 0011 1110 1111");
  CHECK(rows_of(padded_mask(real.view(), 2, 2)) == "0010 0011 0110 0011");
  CHECK(padded_mask(real.view(), 1, std::nullopt).shape() == Shape{2, 1, 4});
}

TEST_CASE("mask: what is added is 0 or the form's number, as the type holds it") {
  const Tensor allowed = booleans({1, 2}, {1, 0});
  const auto forbidding = [&](MaskForm form, DType dtype) {
    const Tensor mask = additive_mask(allowed.view(), form, dtype);
    CHECK(mask.dtype() == dtype);
    CHECK(mask.shape() == Shape{1, 2});
    CHECK(element_as_f64(mask.view(), 0) == 0.0);
    return element_as_f64(mask.view(), 1);
  };
  CHECK(forbidding(MaskForm::minus_1e9, DType::f32) == -1e9);
  CHECK(forbidding(MaskForm::minus_1e9, DType::bf16) == -998244352.0);
  CHECK(forbidding(MaskForm::minus_1e9, DType::f16) == -kInfinity);  // the hazard
  CHECK(forbidding(MaskForm::lowest_finite, DType::f32) == -0x1.fffffep127);
  CHECK(forbidding(MaskForm::lowest_finite, DType::bf16) == -0x1.fep127);
  CHECK(forbidding(MaskForm::lowest_finite, DType::f16) == -65504.0);
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16})
    CHECK(forbidding(MaskForm::minus_infinity, dtype) == -kInfinity);
}

TEST_CASE("mask: two lowest finite masks added are -infinity, and in f16 one beside a low score") {
  const Tensor forbidden = booleans({1, 2}, {1, 0});
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    const Tensor lowest = additive_mask(forbidden.view(), MaskForm::lowest_finite, dtype);
    CHECK(numbers(add_mask(lowest.view(), lowest.view())) == std::vector<double>{0.0, -kInfinity});
  }
  const Tensor lowest = additive_mask(forbidden.view(), MaskForm::lowest_finite, DType::f16);
  const auto beside = [&](std::uint16_t score) {
    return numbers(add_mask(halves(DType::f16, 2, score).view(), lowest.view()))[1];
  };
  CHECK(beside(0xcbff) == -65504.0);    // -15.992
  CHECK(beside(0xcc00) == -kInfinity);  // -16: halfway to the next step, and there is none
  CHECK(beside(0x4bff) == -65504.0);    // 15.992
  CHECK(beside(0x4c00) == -65472.0);    // 16: halfway, to the even one
}

TEST_CASE("mask: sums are rounded to their type, to nearest and ties to even, subnormals too") {
  const auto sum = [](DType dtype, std::uint16_t a, std::uint16_t b) {
    return numbers(add_mask(halves(dtype, 1, a).view(), halves(dtype, 1, b).view()))[0];
  };
  CHECK(sum(DType::f16, 0x3c00, 0x1000) == 1.0);           // 1 + 2^-11, a tie
  CHECK(sum(DType::f16, 0x3c01, 0x1000) == 1.0 + 0x1p-9);  // 1 + 3 2^-11, a tie to the upper
  CHECK(sum(DType::f16, 0x0001, 0x0001) == 0x1p-23);       // subnormals
  CHECK(sum(DType::f16, 0x03ff, 0x0001) == 0x1p-14);       // the smallest normal
  CHECK(sum(DType::f16, 0x7bff, 0x4bff) == 65504.0);       // below half a step beyond the largest
  CHECK(sum(DType::f16, 0x7bff, 0x4c00) == kInfinity);     // half a step
  CHECK(std::isnan(sum(DType::f16, 0x7c00, 0xfc00)));
  CHECK(sum(DType::bf16, 0x3f80, 0x3b80) == 1.0);  // 1 + 2^-8, a tie
  CHECK(sum(DType::bf16, 0x3f81, 0x3b80) == 1.0 + 0x1p-6);
  CHECK(sum(DType::bf16, 0xff7f, 0xff7f) == -kInfinity);
  CHECK(std::isnan(sum(DType::bf16, 0x7f80, 0xff80)));
}

TEST_CASE("mask: each form gives forbidden places weight 0 exactly, and rows that sum to one") {
  const Tensor allowed = allowed_mask(5, 4, 6);
  const Tensor scores = floats({3, 5, 9}, random_floats(3 * 5 * 9, 4));
  const Tensor right = allowed_softmax(scores.view(), allowed.view());
  for (std::int64_t row = 0; row < 15; ++row) {
    double sum = 0, largest = -kInfinity, expected_sum = 0;
    for (std::int64_t key = 0; key < 9; ++key)
      if (element_as_f64(allowed.view(), row % 5 * 9 + key) != 0.0)
        largest = std::max(largest, element_as_f64(scores.view(), row * 9 + key));
    const auto exponential = [&](std::int64_t key) {
      return std::exp(element_as_f64(scores.view(), row * 9 + key) - largest);
    };
    for (std::int64_t key = 0; key < 9; ++key)
      if (element_as_f64(allowed.view(), row % 5 * 9 + key) != 0.0) expected_sum += exponential(key);
    for (std::int64_t key = 0; key < 9; ++key) {
      const double weight = element_as_f64(right.view(), row * 9 + key);
      const bool seen = element_as_f64(allowed.view(), row % 5 * 9 + key) != 0.0;
      CHECK(std::fabs(weight - (seen ? exponential(key) / expected_sum : 0.0)) <= (seen ? 1e-6 : 0.0));
      sum += weight;
    }
    CHECK(std::fabs(sum - 1) <= 1e-6);
  }
  for (const MaskForm form : kForms) {
    const Tensor mask = additive_mask(allowed.view(), form, DType::f32);
    const Tensor weights = masked_softmax(add_mask(scores.view(), mask.view()).view());
    CHECK(same_bits(weights.values<float>(), right.values<float>()));
  }
}

TEST_CASE("mask: a row in which nothing is allowed is NaN, uniform, or 0, by how it is masked") {
  const Tensor allowed = booleans({2, 4}, {0, 0, 0, 0, 1, 0, 1, 1});
  const Tensor scores = floats({2, 4}, {1, -2, 3, 0.5f, 1, -2, 3, 0.5f});
  const auto weights = [&](MaskForm form) {
    const Tensor mask = additive_mask(allowed.view(), form, DType::f32);
    return numbers(masked_softmax(add_mask(scores.view(), mask.view()).view()));
  };
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(std::isnan(weights(MaskForm::minus_infinity)[i]));
    CHECK(weights(MaskForm::minus_1e9)[i] == 0.25);
    CHECK(weights(MaskForm::lowest_finite)[i] == 0.25);
  }
  const std::vector<double> ours = numbers(allowed_softmax(scores.view(), allowed.view()));
  for (std::size_t i = 0; i < 4; ++i) CHECK(ours[i] == 0.0);
  CHECK(ours[5] == 0.0);
  CHECK(ours[4] + ours[6] + ours[7] == Approx(1.0).margin(1e-6));
  // Where it is added, -1e9 swallows scores in f32 only up to half of its spacing, 64.
  const Tensor large = floats({1, 2}, {0, 1000});
  const Tensor mask = additive_mask(booleans({1, 2}, {0, 0}).view(), MaskForm::minus_1e9, DType::f32);
  CHECK(numbers(masked_softmax(add_mask(large.view(), mask.view()).view()))[0] == 0.0);
}

TEST_CASE("mask: what cannot be a mask is refused in one line") {
  const Tensor none(DType::boolean, {0, 4}), some = allowed_mask(2, 0, {});
  const Tensor scores = floats({2, 3}, std::vector<float>(6));
  CHECK(error_of([] { allowed_mask(0, 3, {}); }) ==
        "attention mask: 0 queries: an empty mask allows nothing");
  CHECK(error_of([] { allowed_mask(-1, 3, {}); }).find("-1 queries") != std::string::npos);
  CHECK(error_of([] { allowed_mask(1, -3, {}); }) == "attention mask: a past of -3 tokens");
  CHECK(error_of([] { allowed_mask(1, 3, 0); }) == "attention mask: a window of 0 shows no key");
  CHECK(error_of([] { allowed_mask(2, kMost - 1, {}); }).find("64 bits") != std::string::npos);
  CHECK(error_of([] { allowed_mask(1'000'000, kMost / 1000, {}); }).find("64 bits") != std::string::npos);
  CHECK(error_of([&] { over_batch(none.view(), 1); }).find("empty") != std::string::npos);
  CHECK(error_of([&] { over_batch(some.view(), 0); }).find("0 sequences") != std::string::npos);
  CHECK(error_of([&] { padded_mask(none.view(), 1, {}); }).find("empty") != std::string::npos);
  CHECK(error_of([&] { padded_mask(some.view(), 3, {}); }).find("3 queries of 2 places") !=
        std::string::npos);
  CHECK(error_of([&] { padded_mask(some.view(), 1, -1); }).find("window of -1") != std::string::npos);
  CHECK(error_of([&] { padded_mask(scores.view(), 1, {}); }).find("boolean") != std::string::npos);
  for (const MaskForm form : kForms) {
    CHECK(error_of([&] { additive_mask(none.view(), form, DType::f32); }).find("empty") != std::string::npos);
    CHECK(error_of([&] { additive_mask(some.view(), form, DType::i32); }).find("i32") != std::string::npos);
  }
  CHECK(error_of([&] { add_mask(scores.view(), some.view()); }).find("types") == std::string::npos);
  CHECK(error_of([&] { add_mask(scores.view(), some.view()); }).find("does not fit") != std::string::npos);
  const Tensor half = additive_mask(booleans({2, 3}, {1, 1, 1, 1, 1, 1}).view(), kForms[0], DType::f16);
  CHECK(error_of([&] { add_mask(scores.view(), half.view()); }).find("different types") != std::string::npos);
  CHECK(error_of([&] { masked_softmax(none.view()); }).find("empty") != std::string::npos);
  CHECK(error_of([&] { allowed_softmax(scores.view(), some.view()); }).find("does not fit") !=
        std::string::npos);
}
