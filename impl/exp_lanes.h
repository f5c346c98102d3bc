// The exponential of several floats side by side, for vectors of any width: lane by lane the same operations,
// so the same bits. Includes nothing, since units with wide instruction sets include it (impl/cpu/kernels.h).
#pragma once

namespace plumbline::native {

// x = e^x for x <= 0, to about one unit in the last place; 0 below -87.3, where the result would be
// subnormal; NaN for NaN. e^x = 2^n e^r, |r| <= ln 2 / 2, e^r by its Taylor series to r^7 (the next term is
// below 6e-9). Floats, Ints: GCC's vectors of as many f32 and 32-bit integers. Unit: a type of the including
// unit's own, or a copy compiled there could become everybody's.
template <typename Unit, typename Floats, typename Ints>
[[gnu::always_inline]] inline void exp_not_positive_lanes(Floats& x) {
  constexpr float kLog2e = 1.44269504f;
  constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;  // their sum is ln 2; n * high is exact
  constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to integers
  constexpr float kLeast = -87.3f;
  constexpr float kSeries[] = {1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f};
  const Floats clamped = x > kLeast ? x : kLeast - Floats{};
  const Floats n = (clamped * kLog2e + kRounder) - kRounder;
  const Floats r = (clamped - n * kLn2High) - n * kLn2Low;
  Floats sum = r * (1.0f / 5040) + 1.0f / 720;
#pragma GCC unroll 8
  for (int i = 0; i < 6; ++i) sum = sum * r + kSeries[i];
  const Ints exponent = (__builtin_convertvector(n, Ints) + 127) << 23;
  const Floats power = x > kLeast ? sum * reinterpret_cast<Floats>(exponent) : Floats{};
  x = x == x ? power : x;
}

}  // namespace plumbline::native
