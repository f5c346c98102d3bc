#include "impl/half.h"

#include <bit>
#include <cstring>

namespace plumbline::native {
namespace {

constexpr std::uint32_t kInfinity = 0x7f800000u;  // of f32; above it are NaN

// `bits` without their last `count`, to nearest, ties to even.
std::uint32_t rounded(std::uint32_t bits, int count) {
  const std::uint32_t half = (1u << (count - 1)) - 1;
  return (bits + half + ((bits >> count) & 1u)) >> count;
}

// bf16 is the upper half of an f32.
std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const bool is_nan = (bits & 0x7fffffffu) > kInfinity;
  return static_cast<std::uint16_t>(is_nan ? bits >> 16 | 0x40u : rounded(bits, 16));
}

// f16 has 5 bits of exponent, in excess of 15 (f32: 127), and 10 of fraction. Its normal numbers begin at
// 2^-14, its subnormal ones are multiples of 2^-24; the largest is 65504.
std::uint16_t to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16 & 0x8000u;
  const std::uint32_t size = bits & 0x7fffffffu;
  std::uint32_t half = 0;
  if (size > kInfinity) {
    half = 0x7e00u;
  } else if (size >= std::bit_cast<std::uint32_t>(65536.0f)) {
    half = 0x7c00u;
  } else if (size < std::bit_cast<std::uint32_t>(0x1p-14f)) {
    // The spacing of f32 from 0.5 on is 2^-24: the addition rounds.
    half =
        std::bit_cast<std::uint32_t>(std::bit_cast<float>(size) + 0.5f) - std::bit_cast<std::uint32_t>(0.5f);
  } else {
    half = rounded(size - (112u << 23), 13);
  }
  return static_cast<std::uint16_t>(sign | half);
}

// The bits of an f16 moved into an f32's places are the value times 2^-112, subnormal ones too; infinities
// and NaN get the largest exponent. Without branches, so that it becomes vector code.
float from_f16(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
  const std::uint32_t size = static_cast<std::uint32_t>(half & 0x7fffu) << 13;
  const float finite = std::bit_cast<float>(size) * 0x1p112f;
  const std::uint32_t bits = size >= 0x0f800000u ? size | kInfinity : std::bit_cast<std::uint32_t>(finite);
  return std::bit_cast<float>(sign | bits);
}

std::uint16_t half_at(const std::byte* from, std::int64_t index) {
  std::uint16_t bits;
  std::memcpy(&bits, from + 2 * index, sizeof bits);
  return bits;
}

}  // namespace

void narrow(DType dtype, const float* from, std::int64_t count, std::byte* to) {
  if (dtype == DType::f32) {
    if (count > 0) std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(float));
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint16_t half = dtype == DType::bf16 ? to_bf16(from[i]) : to_f16(from[i]);
    std::memcpy(to + 2 * i, &half, sizeof half);
  }
}

void widen(DType dtype, const std::byte* from, std::int64_t count, float* to) {
  if (dtype == DType::f32) {
    if (count > 0) std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(float));
  } else if (dtype == DType::bf16) {
    for (std::int64_t i = 0; i < count; ++i) to[i] = bf16_to_f32(half_at(from, i));
  } else {
    for (std::int64_t i = 0; i < count; ++i) to[i] = from_f16(half_at(from, i));
  }
}

}  // namespace plumbline::native
