#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

#include "harness/token_verdict.h"

using namespace plumbline;

namespace {

Tensor row(std::vector<double> values) {
  const auto size = static_cast<std::int64_t>(values.size());
  return Tensor::from<double>(DType::f64, {size}, values);
}

TokenRow judged(std::vector<double> actual, std::vector<double> expected, double ceiling) {
  return judge_token(row(std::move(actual)).view(), row(std::move(expected)).view(), ceiling);
}

}  // namespace

TEST_CASE("token verdict: match, drift, tie-flip and wrong, each at its edge") {
  CHECK(judged({1, 3, 2}, {1, 3, 2}, 0.1).verdict == TokenVerdict::match);
  CHECK(judged({1, 3.125, 2}, {1, 3, 2}, 0.125).verdict == TokenVerdict::match);
  CHECK(judged({1, 3.25, 2}, {1, 3, 2}, 0.125).verdict == TokenVerdict::drift);
  CHECK(judged({1, 3, 3.125}, {1, 3.25, 3}, 0.125).verdict == TokenVerdict::tie_flip);
  CHECK(judged({1, 3, 3.5}, {1, 3.5, 3}, 0.125).verdict == TokenVerdict::wrong);
}

TEST_CASE("token verdict: the gap is to the token that was chosen, not to truth's second") {
  const TokenRow far = judged({9, 3, 2.99}, {1, 3, 2.99}, 0.1);
  CHECK(far.margin == Approx(0.01));
  CHECK(far.gap == Approx(2));
  CHECK(far.verdict == TokenVerdict::wrong);
}

TEST_CASE("token verdict: NaN and infinity are wrong, whatever the ceiling") {
  const double nan = std::numeric_limits<double>::quiet_NaN(),
               infinity = std::numeric_limits<double>::infinity();
  CHECK(judged({1, nan, 2}, {1, 3, 2}, 1e9).verdict == TokenVerdict::wrong);
  CHECK(judged({1, infinity, 2}, {1, 3, 2}, infinity).verdict == TokenVerdict::wrong);
  CHECK(judged({1, 3, 2}, {1, 3, 2}, nan).verdict == TokenVerdict::drift);
}

TEST_CASE("token verdict: the margin in spacings of f32 at the best logit") {
  CHECK(judged({16, 15}, {16, 15}, 1).margin_ulp == 0x1p19);  // 2^-19 is the spacing from 16 to 32
  CHECK(judged({1, 1}, {1, 1}, 1).margin_ulp == 0);
  CHECK(judged({1, 1}, {1, 1}, 1).actual == 0);  // the lowest id wins a tie
}

TEST_CASE("token verdict: KL and the best ids that both sides have") {
  const TokenRow two = judged({0, std::log(3.0)}, {0, 0}, 10);
  CHECK(two.kl == Approx(0.5 * std::log(2.0) + 0.5 * std::log(2.0 / 3)));
  CHECK(two.top5_of == 2);
  CHECK(two.top50_shared == 2);
  std::vector<double> down(200), other(200);
  for (std::size_t i = 0; i < 200; ++i) down[i] = other[i] = -static_cast<double>(i);
  std::swap(other[4], other[100]);  // one of the best five leaves, and one of the best 50
  const TokenRow many = judged(other, down, 1000);
  CHECK(many.top5_shared == 4);
  CHECK(many.top5_of == 5);
  CHECK(many.top50_shared == 49);
  CHECK(many.top50_of == 50);
}

TEST_CASE("token verdict: a summary counts each row once") {
  const std::vector<TokenRow> rows{judged({1, 3}, {1, 3}, 0.1), judged({1, 3.5}, {1, 3}, 0.1),
                                   judged({3, 2.9}, {2.95, 3}, 0.1), judged({5, 1}, {1, 5}, 0.1)};
  const TokenSummary sum = summarize(rows);
  CHECK(sum.rows == 4);
  CHECK(sum.match == 1);
  CHECK(sum.drift == 1);
  CHECK(sum.tie_flip == 1);
  CHECK(sum.wrong == 1);
  CHECK(sum.first_wrong == 3);
  CHECK(sum.tie_flip_share() == 0.25);
  CHECK(sum.top5 == 1);
  CHECK(sum.largest_flip_ulp == rows[2].margin_ulp);
  CHECK(summarize({}).tie_flip_share() == 0);
}
