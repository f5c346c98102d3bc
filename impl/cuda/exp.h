// The exponential of one float, with the same bits on device and host: only IEEE operations, none fused, and
// the polynomial of impl/exp_lanes.h, whose bits exp_not_positive has.
#pragma once

#include <cstdint>

#include "impl/cuda/element.h"
#include "impl/cuda/host_device.h"

namespace plumbline::native::cuda {

// e^x = series * 2^exponent, by e^r with |r| <= ln 2 / 2: its Taylor series to r^7 (the next term is below
// 6e-9).
struct ExpParts {
  float series;
  std::int32_t exponent;
};
PLUMBLINE_HOST_DEVICE inline ExpParts exp_parts(float x) {
  constexpr float kLog2e = 1.44269504f;
  constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;  // their sum is ln 2; n * high is exact
  constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to integers
  const float n = (x * kLog2e + kRounder) - kRounder;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  float series = r * (1.0f / 5040) + 1.0f / 720;
  series = series * r + 1.0f / 120;
  series = series * r + 1.0f / 24;
  series = series * r + 1.0f / 6;
  series = series * r + 0.5f;
  series = series * r + 1.0f;
  series = series * r + 1.0f;
  return {series, static_cast<std::int32_t>(n)};
}

// 2^exponent, -126 to 127.
PLUMBLINE_HOST_DEVICE inline float power_of_two(std::int32_t exponent) {
  return float_of(static_cast<std::uint32_t>(exponent + 127) << 23);
}

// Below it e^x would be subnormal, and is taken as 0.
inline constexpr float kLeastExponent = -87.3f;

// e^x for x <= 0, to about one unit in the last place; NaN for NaN.
PLUMBLINE_HOST_DEVICE inline float exp_not_positive(float x) {
  const ExpParts parts = exp_parts(x > kLeastExponent ? x : kLeastExponent);
  if (x != x) return x;
  return x > kLeastExponent ? parts.series * power_of_two(parts.exponent) : 0.0f;
}

// e^x for every x: infinity where it is beyond the largest float; NaN for NaN. For x <= 0 the bits of
// exp_not_positive.
PLUMBLINE_HOST_DEVICE inline float exp_of(float x) {
  constexpr float kMost = 89.0f;  // e^x is beyond the largest float from 88.73 on
  const float low = x > kLeastExponent ? x : kLeastExponent;
  const ExpParts parts = exp_parts(low < kMost ? low : kMost);
  if (x != x) return x;
  const std::int32_t half =
      parts.exponent / 2;  // 2^128 is no float: in two steps, of which one rounds at most
  const float power = parts.series * power_of_two(half) * power_of_two(parts.exponent - half);
  return x > kLeastExponent ? power : 0.0f;
}

}  // namespace plumbline::native::cuda
