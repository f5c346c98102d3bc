// Sine and cosine in f64, with the same bits on device and host: only IEEE operations and fused multiply-adds
// that are written as such.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "impl/cuda/host_device.h"

namespace plumbline::native::cuda {

struct SinCos {
  double sin;
  double cos;
};

// Of an f32 angle as f64, up to 2^24 either way: errors of some 1e-16, so that rounding to f32 gives the
// correctly rounded value in all but about 1e-7 of cases. NaN for NaN and for infinities.
//
// angle = k * pi/2 + r, |r| <= pi/4, pi/2 as the sum of three f64. The first fused step is exact for an f32
// angle: both terms are multiples of 2^-52, and so is their difference, which is below 1. The parts left out
// of pi/2 are below 2^-160. Then the Taylor series of sine to r^17 and of cosine to r^16, whose next terms
// are below 1e-19.
PLUMBLINE_HOST_DEVICE inline SinCos sin_cos(double angle) {
  constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
  constexpr double kHigh = 0x1.921fb54442d18p+0, kMiddle = 0x1.1a62633145c07p-54;
  constexpr double kLow = -0x1.f1976b7ed8fbcp-110;
  constexpr double kRounder = 0x1.8p+52;  // adding it rounds to integers, whose last bits are then its own
  const double shifted = angle * kTwoOverPi + kRounder;
  const double k = shifted - kRounder;
  const double r = fma(-k, kLow, fma(-k, kMiddle, fma(-k, kHigh, angle)));
  const double square = r * r;

  double odd = fma(square, 1.0 / 355687428096000, -1.0 / 1307674368000);
  odd = fma(odd, square, 1.0 / 6227020800);
  odd = fma(odd, square, -1.0 / 39916800);
  odd = fma(odd, square, 1.0 / 362880);
  odd = fma(odd, square, -1.0 / 5040);
  odd = fma(odd, square, 1.0 / 120);
  odd = fma(odd, square, -1.0 / 6);
  const double sine = fma(r * square, odd, r);

  double even = fma(square, 1.0 / 20922789888000, -1.0 / 87178291200);
  even = fma(even, square, 1.0 / 479001600);
  even = fma(even, square, -1.0 / 3628800);
  even = fma(even, square, 1.0 / 40320);
  even = fma(even, square, -1.0 / 720);
  even = fma(even, square, 1.0 / 24);
  even = fma(even, square, -0.5);
  const double cosine = fma(square, even, 1.0);

  std::uint64_t bits;
  memcpy(&bits, &shifted, sizeof bits);
  const bool swapped = (bits & 1u) != 0;
  const double sin_size = swapped ? cosine : sine;
  const double cos_size = swapped ? sine : cosine;
  return {(bits & 2u) != 0 ? -sin_size : sin_size, ((bits + 1u) & 2u) != 0 ? -cos_size : cos_size};
}

}  // namespace plumbline::native::cuda
