// How the device's sampler compares scores: as integers that rise with them.
#pragma once

#include <cstdint>
#include <limits>

#include "impl/cuda/element.h"
#include "impl/cuda/host_device.h"
#include "impl/cuda/sampling/fixed.h"

namespace plumbline::native::cuda {

inline constexpr float kDroppedScore = -std::numeric_limits<float>::infinity();

PLUMBLINE_HOST_DEVICE inline bool is_kept(float score) {  // false for a NaN
  return score > kDroppedScore;
}

// Rises with the score; the same for 0 and -0. Not for NaNs.
PLUMBLINE_HOST_DEVICE inline std::uint32_t key_of(float score) {
  const std::uint32_t bits = bits_of(score + 0.0f);  // -0 + 0 = 0
  return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}
PLUMBLINE_HOST_DEVICE inline float score_of(std::uint32_t key) {
  return float_of(key >> 31 != 0 ? key & 0x7fffffffu : ~key);
}

// What the refusals ask of scores, and greedy. All of it is the same in any order.
struct Census {
  Word best = 0;  // key of the largest, then the complement of its lowest id; 0 where none is a number
  std::uint32_t nans = 0;
  std::uint32_t first_nan = 0xffffffffu;
};
PLUMBLINE_HOST_DEVICE inline Census census_of(float score, std::uint32_t id) {
  Census census;
  if (score != score) {
    census.nans = 1;
    census.first_nan = id;
  } else {
    census.best = (Word{key_of(score)} << 32) | (0xffffffffu - id);
  }
  return census;
}
PLUMBLINE_HOST_DEVICE inline Census merged(const Census& a, const Census& b) {
  Census census;
  census.best = a.best > b.best ? a.best : b.best;
  census.nans = a.nans + b.nans;
  census.first_nan = a.first_nan < b.first_nan ? a.first_nan : b.first_nan;
  return census;
}
// -inf where there is no number.
PLUMBLINE_HOST_DEVICE inline float largest_of(const Census& census) {
  return census.best == 0 ? kDroppedScore : score_of(static_cast<std::uint32_t>(census.best >> 32));
}
PLUMBLINE_HOST_DEVICE inline std::int32_t argmax_of(const Census& census) {
  return static_cast<std::int32_t>(0xffffffffu - static_cast<std::uint32_t>(census.best));
}

// A 16-bit float of IEEE 754, as logits may be stored.
struct F16 {
  std::uint16_t bits;
};
PLUMBLINE_HOST_DEVICE inline float widen(F16 value) {
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits >> 15) << 31;
  const std::uint32_t exponent = (value.bits >> 10) & 0x1fu;
  const std::uint32_t fraction = value.bits & 0x3ffu;
  if (exponent == 0x1f) return float_of(sign | 0x7f800000u | (fraction << 13));
  if (exponent != 0) return float_of(sign | ((exponent + 112) << 23) | (fraction << 13));
  const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
  return sign != 0 ? -magnitude : magnitude;
}

}  // namespace plumbline::native::cuda
