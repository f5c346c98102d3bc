// The draw, the exponential and the census by themselves.
#include "impl/sampling/scores.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

#include "impl/sampling/filters.h"
#include "tests/impl/sampling_support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

}  // namespace

TEST_CASE("sampler: a draw never takes a token of probability 0") {
  const Floats probs{0.0f, 0.25f, 0.0f, 0.7f, 0.0f};
  const Ids ids{0, 1, 2, 3, 4};
  CHECK(draw(ids, probs, 0.0) == 1);
  CHECK(draw(ids, probs, 0.25) == 3);  // the first whose sum *exceeds* it
  CHECK(draw(ids, probs, 0.9999) == 3);
  CHECK(draw(Ids{2, 5, 9}, Floats{0.5f, 0.25f, 0.25f}, 0.6) == 5);  // the candidate's id, not its index
}

TEST_CASE(
    "sampler: weights are exponentials to about one unit in the last place, and 0 where they are subnormal") {
  Floats scores{0};
  for (int i = 1; i < 100'000; ++i) scores.push_back(-1e-3f * static_cast<float>(i));
  for (int i = -30; i < 128; ++i) scores.push_back(-std::ldexp(1.0f, i));
  Candidates candidates;
  candidates.take_all(scores);
  const std::span<const float> weights = candidates.weights();
  REQUIRE(weights.size() == scores.size());
  CHECK(weights[0] == 1.0f);
  double worst = 0;
  bool gone = true;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const double right = std::exp(static_cast<double>(scores[i]));
    if (scores[i] > -87.3f) worst = std::max(worst, std::fabs(weights[i] / right - 1));
    if (scores[i] <= -87.3f) gone = gone && weights[i] == 0;
  }
  CHECK(worst < 1.5 * 0x1p-23);
  CHECK(gone);
}

TEST_CASE("sampler: the census counts NaNs and finds the largest, wherever they stand") {
  for (std::size_t vocab : {1, 15, 16, 17, 50}) {
    for (std::size_t at = 0; at < vocab; ++at) {
      Floats row(vocab, -1.0f);
      row[at] = 2.0f;
      CHECK(take_census(row).largest == 2.0f);
      CHECK(take_census(row).nans == 0);
      row[at] = NAN;
      CHECK(take_census(row).nans == 1);
      CHECK(take_census(row).largest == (vocab == 1 ? -kInf : -1.0f));
    }
  }
}
