// What kernels compute for one element, against exact oracles: it has the same bits on a device.
#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

#include "harness/half.h"
#include "impl/cuda/element.h"
#include "impl/cuda/exp.h"
#include "impl/cuda/residual.h"
#include "impl/cuda/rms_norm.h"
#include "impl/cuda/rope.h"
#include "impl/cuda/silu_mul.h"
#include "impl/cuda/sin_cos.h"
#include "impl/lanes.h"

using namespace plumbline;
using namespace plumbline::native::cuda;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Calls body(x) for floats of every exponent and of both signs: each `step`th by its bits.
template <typename Body>
void for_floats(std::uint32_t step, const Body& body) {
  for (std::uint64_t bits = 0; bits <= 0xffffffffu; bits += step) {
    body(float_of(static_cast<std::uint32_t>(bits)));
  }
}

// In units of u = 2^-24, relative.
double relative_error(float got, double right) {
  return std::abs(double{got} - right) / std::ldexp(std::abs(right), -24);
}

}  // namespace

TEST_CASE("element: f32 to bf16 rounds to nearest, ties to even; a NaN stays one") {
  std::size_t wrong = 0;
  for_floats(4093, [&](float value) {
    const float got = stored<Bf16>(value);
    if (std::isnan(value)) {
      wrong += !std::isnan(got);
      return;
    }
    // The neighbours in bf16, by cutting; infinities follow the largest as the next step would.
    const std::uint32_t below = bits_of(value) & 0xffff0000u, rest = bits_of(value) & 0xffffu;
    const bool up = rest > 0x8000u || (rest == 0x8000u && (below & 0x10000u) != 0);
    wrong += bits_of(got) != below + (up ? 0x10000u : 0u);
  });
  for (std::uint32_t bits = 0; bits < 0x10000u; ++bits) {
    const Bf16 value{static_cast<std::uint16_t>(bits)};
    if (!std::isnan(widen(value))) wrong += narrow<Bf16>(widen(value)).bits != bits;
    if (std::isnan(widen(value))) wrong += !std::isnan(widen(narrow<Bf16>(widen(value))));
  }
  CHECK(wrong == 0);
  CHECK(stored<Bf16>(3.3961776e38f) == kInfinity);  // half a step beyond the largest bf16
}

TEST_CASE("exp: the bits of the host's lanes for x <= 0") {
  std::size_t wrong = 0;
  for_floats(3571, [&](float x) {
    if (x > 0) return;
    const float lane = native::exp_not_positive(native::Lanes{x, x, x, x})[0];
    if (std::isnan(x)) {
      wrong += !std::isnan(exp_not_positive(x)) || !std::isnan(exp_of(x)) || !std::isnan(lane);
      return;
    }
    wrong += bits_of(exp_not_positive(x)) != bits_of(lane);
    wrong += bits_of(exp_of(x)) != bits_of(lane);
  });
  for (const float x : {0.0f, -0.0f, -87.3f, std::nextafter(-87.3f, 0.0f), -kInfinity}) {
    wrong += bits_of(exp_of(x)) != bits_of(exp_not_positive(x));
    wrong += bits_of(exp_of(x)) != bits_of(native::exp_not_positive(native::Lanes{x, x, x, x})[0]);
  }
  CHECK(wrong == 0);
}

TEST_CASE("exp: within one unit in the last place, 0 below the normal numbers, infinite above the largest") {
  double worst = 0;
  std::size_t wrong = 0;
  for (float x = -87.29f; x < 88.72f; x += 0.00037f) {
    worst = std::max(worst, relative_error(exp_of(x), std::exp(static_cast<double>(x))));
  }
  for_floats(7919, [&](float x) {
    if (x < -87.3f) wrong += bits_of(exp_of(x)) != 0;
    if (x > 88.73f) wrong += exp_of(x) != kInfinity;
    if (x >= -87.3f && x <= 88.72f) wrong += !(exp_of(x) > 0 && exp_of(x) < kInfinity);
  });
  CAPTURE(worst);
  CHECK(worst <= 2.0);
  CHECK(wrong == 0);
  CHECK(exp_of(0.0f) == 1.0f);
  CHECK(exp_of(kInfinity) == kInfinity);
  CHECK(std::isnan(exp_of(kNan)));
}

TEST_CASE("silu_mul: within half of its gate of f64 at any gate, and finite wherever the formula is") {
  constexpr double kLambda = 2.25;
  double worst = 0;
  std::size_t wrong = 0;
  for (const float up : {1.0f, -0.37f, 1234.5f, 1e-20f, 0.0f}) {
    for_floats(16381, [&](float gate) {
      const float got = silu_mul_of(gate, up);
      const float formula = gate / (1.0f + std::exp(-gate)) * up;
      if (!std::isfinite(formula)) {
        wrong += std::isnan(formula) ? !std::isnan(got) : got != formula;
        return;
      }
      const double g = gate, right = g / (1.0 + std::exp(-g)) * double{up};
      const double bound = std::ldexp(std::abs(right), -24) * (4 + std::max(0.0, -g)) +
                           std::ldexp(1.0 + std::abs(double{up}), -118);
      const double share = std::abs(double{got} - right) / (kLambda * bound);
      wrong += !(share <= 1);
      worst = std::max(worst, share);
    });
  }
  CAPTURE(worst);
  CHECK(wrong == 0);
  CHECK(worst <= 0.5);
  CHECK(silu_mul_of(kInfinity, 2.0f) == kInfinity);
  CHECK(silu_mul_of(-3e38f, 2.0f) == 0.0f);
  CHECK(std::isnan(silu_mul_of(kNan, 1.0f)));
  CHECK(std::isnan(silu_mul_of(-kInfinity, 1.0f)));  // as -inf / (1 + inf)
}

TEST_CASE("sine and cosine: rounded to f32 correctly in all but about 1e-7 of cases, up to 2^24") {
  std::size_t count = 0, wrong = 0;
  double worst = 0;
  const auto look = [&](float angle) {
    const SinCos got = sin_cos(static_cast<double>(angle));
    const long double sine = std::sin(static_cast<long double>(angle));
    const long double cosine = std::cos(static_cast<long double>(angle));
    ++count;
    wrong += bits_of(static_cast<float>(got.sin)) != bits_of(static_cast<float>(sine));
    wrong += bits_of(static_cast<float>(got.cos)) != bits_of(static_cast<float>(cosine));
    worst = std::max(worst, std::abs(static_cast<double>(got.sin - sine)));
    worst = std::max(worst, std::abs(static_cast<double>(got.cos - cosine)));
  };
  for (std::uint32_t bits = 0; bits <= bits_of(16777216.0f); bits += 1499) {
    look(float_of(bits));
    look(-float_of(bits));
  }
  // The floats nearest to multiples of pi/2, where the reduction cancels most.
  for (std::int64_t k = 1; k < 10'000'000; k += 37) {
    const auto near = static_cast<float>(static_cast<double>(k) * 1.5707963267948966);
    for (const float angle : {std::nextafter(near, 0.0f), near, std::nextafter(near, kInfinity)}) look(angle);
  }
  CAPTURE(count, wrong, worst);
  CHECK(worst <= 2.3e-16);  // a unit in the last place of f64 at 1
  CHECK(static_cast<double>(wrong) <= 1e-6 * static_cast<double>(count));
  CHECK(sin_cos(0.0).sin == 0.0);
  CHECK(sin_cos(0.0).cos == 1.0);
  CHECK(std::isnan(sin_cos(std::numeric_limits<double>::quiet_NaN()).sin));
  CHECK(std::isnan(sin_cos(std::numeric_limits<double>::infinity()).cos));
}
