// Sums of weights and probabilities without rounding. Every float from 0 to 1 becomes an integer number of
// units of 2^-80, and integers add up to the same in any order: the sums of the device's sampler, and all
// that is decided by them, do not depend on how the vocabulary is shared out.
#pragma once

#include <cstdint>

#include "impl/cuda/element.h"
#include "impl/cuda/host_device.h"

namespace plumbline::native::cuda {

using Word = unsigned long long;  // 64 bits, as CUDA's atomics have them

inline constexpr int kHalfBits = 40;
inline constexpr Word kHalfMask = (Word{1} << kHalfBits) - 1;

// hi * 2^-40 + lo * 2^-80. Of one float lo is below 2^40; in a sum it may grow beyond. Up to 2^22 floats.
struct Fixed {
  Word hi = 0;
  Word lo = 0;
};
inline constexpr std::int64_t kMostSummands = std::int64_t{1} << 22;

PLUMBLINE_HOST_DEVICE inline Fixed plus(Fixed a, Fixed b) {
  return {a.hi + b.hi, a.lo + b.lo};
}
PLUMBLINE_HOST_DEVICE inline Fixed times(Word count, Fixed a) {  // count: at most kMostSummands
  return {count * a.hi, count * a.lo};
}
PLUMBLINE_HOST_DEVICE inline bool is_zero(Fixed a) {
  return a.hi == 0 && a.lo == 0;
}

// Cut off below 2^-80, but no positive float becomes 0. What is no number or negative is 0, what is beyond 1
// is 1. Exact from 2^-57 on.
PLUMBLINE_HOST_DEVICE inline Fixed fixed_of(float value) {
  if (!(value > 0.0f)) return {};
  if (value >= 1.0f) return {Word{1} << kHalfBits, 0};
  const std::uint32_t bits = bits_of(value);
  const int exponent = static_cast<int>(bits >> 23);
  const Word mantissa = (bits & 0x7fffffu) | 0x800000u;
  const int shift = exponent - 127 - 23 + 2 * kHalfBits;  // value = mantissa * 2^shift units
  if (shift <= -24 || exponent == 0) return {0, 1};
  if (shift < 0) return {0, (mantissa >> -shift) > 0 ? mantissa >> -shift : 1};
  if (shift >= kHalfBits) return {mantissa << (shift - kHalfBits), 0};
  const Word units = mantissa << shift;  // below 2^64
  return {units >> kHalfBits, units & kHalfMask};
}

// Rounded to f64; never falls as the sum rises.
PLUMBLINE_HOST_DEVICE inline double as_f64(Fixed sum) {
  const Word hi = sum.hi + (sum.lo >> kHalfBits);
  return static_cast<double>(hi) * 0x1p-40 + static_cast<double>(sum.lo & kHalfMask) * 0x1p-80;
}

// A float's Fixed in four parts of 20 bits, the first of up to 2^20: as many as kLimbSummands of them add up
// within 32 bits.
inline constexpr int kLimbs = 4;
inline constexpr int kLimbBits = kHalfBits / 2;
inline constexpr std::int64_t kLimbSummands = std::int64_t{1} << 11;
PLUMBLINE_HOST_DEVICE inline std::uint32_t limb_of(Fixed value, int limb) {
  const Word half = limb < 2 ? value.hi : value.lo;
  const Word low = (Word{1} << kLimbBits) - 1;
  return static_cast<std::uint32_t>(limb % 2 == 0 ? half >> kLimbBits : half & low);
}
PLUMBLINE_HOST_DEVICE inline Fixed of_limbs(std::uint32_t a, std::uint32_t b, std::uint32_t c,
                                            std::uint32_t d) {
  return {(Word{a} << kLimbBits) + b, (Word{c} << kLimbBits) + d};
}

}  // namespace plumbline::native::cuda
