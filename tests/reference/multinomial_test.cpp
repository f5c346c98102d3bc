#include <cmath>

#include <catch2/catch.hpp>

#include "harness/error.h"
#include "reference/sampler.h"

using namespace plumbline;

TEST_CASE("multinomial: its own stream, by seed, in proportion", "[reference][sampler]") {
  const std::vector<float> p{0.5f, 0.0f, 0.125f, 0.375f};
  const auto draws = reference::multinomial(p, 20000, 7);
  CHECK(draws == reference::multinomial(p, 20000, 7));
  CHECK(draws != reference::multinomial(p, 20000, 8));
  std::vector<double> share(4, 0.0);
  for (const TokenId token : draws) share.at(static_cast<std::size_t>(token)) += 1.0 / 20000;
  for (std::size_t i = 0; i < 4; ++i) CHECK(std::fabs(share[i] - p[i]) < 0.02);
  CHECK_THROWS_AS(reference::multinomial(std::vector<float>{0, 0}, 1, 0), Error);
  CHECK_THROWS_AS(reference::multinomial(std::vector<float>{1, NAN}, 1, 0), Error);
  CHECK_THROWS_AS(reference::multinomial(p, 0, 0), Error);
}
