// Rows of numbers, and the narrow formats that some mistakes round to.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "harness/dtype.h"

namespace plumbline::mutants {

// [rows, columns], row-major.
struct Rows {
  int rows = 0;
  int columns = 0;
  std::vector<float> values;
  Rows() = default;
  Rows(int row_count, int column_count)
      : rows(row_count),
        columns(column_count),
        values(static_cast<std::size_t>(row_count) * static_cast<std::size_t>(column_count)) {}
  float* row(int i) {
    return values.data() + static_cast<std::size_t>(i) * static_cast<std::size_t>(columns);
  }
  const float* row(int i) const {
    return values.data() + static_cast<std::size_t>(i) * static_cast<std::size_t>(columns);
  }
};

// Order of the terms of a sum: all are right, and give other bits.
enum class SumOrder { sequential, backwards, four_lanes };

// To the nearest number with `bits` bits after the leading one, ties to even; the exponent keeps its range.
inline float keep_bits(float value, int bits) {
  const int drop = 23 - bits;
  const auto raw = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t half = (1u << (drop - 1)) - 1u + ((raw >> drop) & 1u);
  const float rounded = std::bit_cast<float>((raw + half) & ~((1u << drop) - 1u));
  return std::isfinite(value) ? rounded : value;
}

inline float to_bf16(float value) {
  return keep_bits(value, 7);
}
inline float to_tf32(float value) {
  return keep_bits(value, 10);
}

// f16: ten bits, infinity from 65,520 on, multiples of 2^-24 below 2^-14.
inline float to_f16(float value) {
  if (std::fabs(value) >= 65520.0f) return std::copysign(std::numeric_limits<float>::infinity(), value);
  if (std::fabs(value) < 0x1p-14f) return std::nearbyint(value * 0x1p24f) * 0x1p-24f;
  return keep_bits(value, 10);
}

// To the nearest number of a half type; as it is in f32.
inline float rounded(float value, DType dtype) {
  if (dtype == DType::bf16) return to_bf16(value);
  return dtype == DType::f16 ? to_f16(value) : value;
}

// The nearest, or the one before it where that is beyond: towards zero. (g++ 12 loses a mere mask of the last
// 16 bits here.)
inline float cut(float value, DType dtype) {
  const float nearest = rounded(value, dtype);
  if (!(std::fabs(nearest) > std::fabs(value))) return nearest;
  if (dtype == DType::f16 && std::fabs(nearest) < 0x1p-14f) return nearest - std::copysign(0x1p-24f, value);
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(nearest) -
                              (dtype == DType::bf16 ? 0x10000u : 0x2000u));
}

// To nearest, ties away from zero.
inline float away_from_zero(float value, DType dtype) {
  const float below = cut(value, dtype), beyond = 2 * value - below;
  return rounded(beyond, dtype) == beyond ? beyond : rounded(value, dtype);
}

}  // namespace plumbline::mutants
