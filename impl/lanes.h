// Four floats side by side, for passes over long rows (scores, the vocabulary). The compiler maps them to
// the vector registers that every x86-64 has; results are those of one float after the other, on any machine.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "impl/exp_lanes.h"

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

// In f64, as four interleaved sums, added in order.
inline double sum_of(std::span<const float> values) {
  WideLanes sums{};
  for_lanes(values, 0.0f,
            [&](const Lanes& each, std::size_t) { sums += __builtin_convertvector(each, WideLanes); });
  double sum = 0;
  for (std::size_t lane = 0; lane < kLanes; ++lane) sum += sums[lane];
  return sum;
}

// e^x for x <= 0; impl/exp_lanes.h.
inline Lanes exp_not_positive(const Lanes& x) {
  Lanes power = x;
  exp_not_positive_lanes<Lanes, Lanes, IntLanes>(power);
  return power;
}

}  // namespace plumbline::native
