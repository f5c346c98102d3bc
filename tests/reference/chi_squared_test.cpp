#include "reference/chi_squared.h"

#include <catch2/catch.hpp>

using namespace plumbline::reference;

TEST_CASE("chi-squared: tails and critical values of the tables", "[reference]") {
  // Two degrees of freedom: exp(-x / 2). One: the square of a normal's.
  CHECK(chi_squared_tail(2.0, 2) == Approx(0.36787944117144233).epsilon(1e-13));
  CHECK(chi_squared_tail(3.841458820694124, 1) == Approx(0.05).epsilon(1e-12));
  CHECK(chi_squared_tail(18.307038053275146, 10) == Approx(0.05).epsilon(1e-12));
  CHECK(chi_squared_critical(0.05, 10) == Approx(18.307038053275146).epsilon(1e-12));
  CHECK(chi_squared_critical(1e-9, 2) == Approx(41.44653167389282).epsilon(1e-12));  // -2 ln 1e-9
}

TEST_CASE("chi-squared: the power is the level without an effect, and that of a shifted normal's square") {
  CHECK(chi_squared_power(chi_squared_critical(0.01, 7), 7, 0) == Approx(0.01).epsilon(1e-10));
  // One degree: P(|Z + 2| >= 1.96) = 0.51601 for the 5 % level and noncentrality 4.
  CHECK(chi_squared_power(chi_squared_critical(0.05, 1), 1, 4) == Approx(0.5160052739761).epsilon(1e-10));
}
