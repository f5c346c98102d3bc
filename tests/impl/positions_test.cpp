#include "impl/positions.h"

#include <limits>

#include <catch2/catch.hpp>

#include "impl/cpu/rope.h"

using namespace plumbline;
using namespace plumbline::native;

namespace {

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

Tensor booleans(Shape shape, const std::vector<std::uint8_t>& values) {
  return Tensor::from<std::uint8_t>(DType::boolean, shape, values);
}

}  // namespace

TEST_CASE("positions: count on from what was before, to the last that f32 holds") {
  CHECK(position_ids(0, 3) == std::vector<std::int64_t>{0, 1, 2});
  CHECK(position_ids(1'000'000, 2) == std::vector<std::int64_t>{1'000'000, 1'000'001});
  CHECK(position_ids(5, 0).empty());
  CHECK(position_ids(kLargestPosition, 1) == std::vector<std::int64_t>{16'777'216});
  // Why it is the last: the next one is no number of its own.
  CHECK(static_cast<float>(kLargestPosition + 1) == static_cast<float>(kLargestPosition));
  CHECK(static_cast<float>(kLargestPosition - 1) != static_cast<float>(kLargestPosition));
}

TEST_CASE("positions: negative ones, overflowing ones and those that f32 merges are refused") {
  CHECK_THROWS_WITH(position_ids(-1, 2), "position ids: 2 tokens after -1");
  CHECK_THROWS_AS(position_ids(2, -1), Error);
  CHECK_THROWS_WITH(position_ids(kLargestPosition, 2),
                    "position ids: 2 tokens after 16777216 go beyond position 16777216");
  CHECK_THROWS_AS(position_ids(kMost, 1), Error);
  CHECK_THROWS_AS(position_ids(kMost - 1, 4), Error);
  CHECK_THROWS_AS(position_ids(1, kMost), Error);
  CHECK_THROWS_AS(position_ids(std::numeric_limits<std::int64_t>::min(), kMost), Error);
  CHECK_NOTHROW(check_positions(std::vector<std::int64_t>{0, kLargestPosition}, "here"));
  CHECK_THROWS_WITH(check_positions(std::vector<std::int64_t>{0, -7}, "here"),
                    "here: position -7 is negative");
  CHECK_THROWS_AS(check_positions(std::vector<std::int64_t>{kLargestPosition + 1}, "here"), Error);
}

TEST_CASE("positions: no angles are made of those that are refused") {
  const std::vector<float> table{1.0f};
  float cos[2], sin[2];
  for (const std::int64_t position : {std::int64_t{-1}, kLargestPosition + 1, kMost})
    CHECK_THROWS_AS(cos_sin(std::span(&position, 1), table, 1.0f, cos, sin), Error);
}

TEST_CASE("positions: of a batch that is filled up at its left they are its tokens' own") {
  const Tensor real = booleans({3, 4}, {0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1});
  const Tensor positions = left_padded_positions(real.view());
  CHECK(positions.shape() == Shape{3, 4});
  const auto values = positions.values<std::int64_t>();
  CHECK(std::vector<std::int64_t>(values.begin(), values.end()) ==
        std::vector<std::int64_t>{0, 0, 0, 1, 0, 1, 2, 3, 0, 0, 0, 0});
  CHECK_THROWS_WITH(left_padded_positions(booleans({2, 2}, {0, 1, 0, 0}).view()),
                    "left-padded position ids: row 1 of the mask has no token");
  CHECK_THROWS_WITH(left_padded_positions(Tensor(DType::boolean, {0, 4}).view()),
                    "left-padded position ids: the mask is empty");
  CHECK_THROWS_AS(left_padded_positions(Tensor(DType::i64, {1, 4}).view()), Error);
  CHECK_THROWS_AS(left_padded_positions(booleans({2}, {0, 1}).view()), Error);
}
