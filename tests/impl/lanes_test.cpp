#include "impl/lanes.h"

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include <catch2/catch.hpp>

using namespace plumbline::native;

TEST_CASE("lanes: passes cover every length, and the filler changes nothing") {
  for (std::size_t length = 1; length < 20; ++length) {
    std::vector<float> values(length);
    std::iota(values.begin(), values.end(), -7.0f);
    CHECK(sum_of(values) == std::accumulate(values.begin(), values.end(), 0.0));
    std::vector<float> doubled(length + 1, 99.0f);
    map_lanes(values, doubled, 0.0f, [](const Lanes& each) { return each * 2.0f; });
    bool right = doubled[length] == 99.0f;  // nothing is written beyond the values
    for (std::size_t i = 0; i < length; ++i) right = right && doubled[i] == 2 * values[i];
    CHECK(right);
  }
}

TEST_CASE("lanes: a NaN stays one through the exponential, and an infinite difference is no weight") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  const Lanes powers = exp_not_positive(Lanes{0.0f, nan, -inf, -1e30f});
  CHECK(powers[0] == 1.0f);
  CHECK(std::isnan(powers[1]));
  CHECK(powers[2] == 0.0f);
  CHECK(powers[3] == 0.0f);
}
