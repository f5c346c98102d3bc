// Four floats side by side, for passes over long rows (scores, the vocabulary). The compiler maps them to
// the vector registers that every x86-64 has; results are those of one float after the other, on any machine.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace plumbline::native {

inline constexpr std::size_t kLanes = 4;
using Lanes = float __attribute__((vector_size(kLanes * sizeof(float))));
using IntLanes = std::int32_t __attribute__((vector_size(kLanes * sizeof(std::int32_t))));
using WideLanes = double __attribute__((vector_size(kLanes * sizeof(double))));

inline Lanes load(const float* from) {
  Lanes lanes;
  std::memcpy(&lanes, from, sizeof lanes);
  return lanes;
}
inline void store(float* to, const Lanes& lanes) {
  std::memcpy(to, &lanes, sizeof lanes);
}

// Calls body(lanes, first index) for each four values; the last, shorter group is filled up with `filler`.
template <typename Body>
void for_lanes(std::span<const float> values, float filler, const Body& body) {
  std::size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) body(load(values.data() + i), i);
  if (i == values.size()) return;
  Lanes last = filler - Lanes{};
  std::memcpy(&last, values.data() + i, (values.size() - i) * sizeof(float));
  body(last, i);
}

// to[i] = f(values[i]); the two may be the same.
template <typename Function>
void map_lanes(std::span<const float> values, std::span<float> to, float filler, const Function& f) {
  for_lanes(values, filler, [&](const Lanes& lanes, std::size_t first) {
    const Lanes result = f(lanes);
    std::memcpy(to.data() + first, &result, std::min(kLanes, values.size() - first) * sizeof(float));
  });
}

inline Lanes larger(const Lanes& a, const Lanes& b) {
  return a > b ? a : b;  // b where one is NaN
}

// The largest of at least one; where one is NaN, any of them.
inline float largest_of(std::span<const float> values) {
  Lanes largest = values[0] - Lanes{};
  for_lanes(values, values[0], [&](const Lanes& each, std::size_t) { largest = larger(each, largest); });
  return std::max(std::max(largest[0], largest[1]), std::max(largest[2], largest[3]));
}

// In f64, as four interleaved sums, added in order.
inline double sum_of(std::span<const float> values) {
  WideLanes sums{};
  for_lanes(values, 0.0f,
            [&](const Lanes& each, std::size_t) { sums += __builtin_convertvector(each, WideLanes); });
  double sum = 0;
  for (std::size_t lane = 0; lane < kLanes; ++lane) sum += sums[lane];
  return sum;
}

// e^x for x <= 0, to about one unit in the last place; 0 below -87.3, where the result would be subnormal;
// NaN for NaN. e^x = 2^n e^r, |r| <= ln 2 / 2, e^r by its Taylor series to r^7 (the next term is below 6e-9).
inline Lanes exp_not_positive(const Lanes& x) {
  constexpr float kLog2e = 1.44269504f;
  constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;  // their sum is ln 2; n * high is exact
  constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to integers
  constexpr float kLeast = -87.3f;
  const Lanes clamped = x > kLeast ? x : kLeast - Lanes{};
  const Lanes n = (clamped * kLog2e + kRounder) - kRounder;
  const Lanes r = (clamped - n * kLn2High) - n * kLn2Low;
  Lanes sum = r * (1.0f / 5040) + 1.0f / 720;
  for (const float coefficient : {1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f})
    sum = sum * r + coefficient;
  const IntLanes exponent = (__builtin_convertvector(n, IntLanes) + 127) << 23;
  Lanes scale;
  std::memcpy(&scale, &exponent, sizeof scale);
  const Lanes power = x > kLeast ? sum * scale : Lanes{};
  return x == x ? power : x;
}

}  // namespace plumbline::native
