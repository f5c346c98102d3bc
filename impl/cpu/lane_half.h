// Half types over vectors of any width: part of impl/cpu/lane_kernels.h. impl/half.cpp says why each is
// right.
#pragma once

#include <cstdint>

namespace plumbline::native {
namespace {

constexpr std::uint32_t kSignBit = 0x80000000u;
constexpr std::uint32_t kF32Infinity = 0x7f800000u;  // above it are NaN

// Vectors of L::Floats, bit for bit the same on every instruction set.
template <typename L>
struct Half {
  using Floats = typename L::Floats;
  using Bits = typename L::Bits;
  static constexpr std::int64_t kCount = sizeof(Floats) / sizeof(float);

  // bf16 is the upper half of an f32.
  static void round_bf16(Floats& values) {
    const Bits bits = reinterpret_cast<Bits>(values);
    const Bits nearest = bits + 0x7fffu + ((bits >> 16) & 1u);
    const Bits kept = (bits & ~kSignBit) > kF32Infinity ? bits | 0x400000u : nearest;
    values = reinterpret_cast<Floats>(kept & 0xffff0000u);
  }

  // f16 has 10 bits of fraction; below 2^-14 its values are the multiples of 2^-24, above 65504 none.
  static void round_f16(Floats& values) {
    constexpr std::uint32_t kLeastNormal = 113u << 23;  // 2^-14
    constexpr std::uint32_t kTooLarge = 143u << 23;     // 2^16
    const Bits bits = reinterpret_cast<Bits>(values);
    const Bits size = bits & ~kSignBit;
    // The spacing of f32 from 0.5 on is 2^-24: the addition rounds.
    const Floats small = (reinterpret_cast<Floats>(size) + 0.5f) - 0.5f;
    const Bits normal = (size + 0xfffu + ((size >> 13) & 1u)) & ~0x1fffu;
    const Bits finite = size < kLeastNormal ? reinterpret_cast<Bits>(small) : normal;
    const Bits number = finite >= kTooLarge ? kF32Infinity - Bits{} : finite;
    const Bits kept = size > kF32Infinity ? 0x7fc00000u - Bits{} : number;
    values = reinterpret_cast<Floats>(kept | (bits & kSignBit));
  }

  template <void (*kRound)(Floats&)>
  static void round(float* values, std::int64_t count) {
    Floats each;
    std::int64_t i = 0;
    for (; i + kCount <= count; i += kCount) {
      __builtin_memcpy(&each, values + i, sizeof each);
      kRound(each);
      __builtin_memcpy(values + i, &each, sizeof each);
    }
    if (i == count) return;
    float last[kCount] = {};
    for (std::int64_t lane = 0; lane < count - i; ++lane) last[lane] = values[i + lane];
    __builtin_memcpy(&each, last, sizeof each);
    kRound(each);
    __builtin_memcpy(last, &each, sizeof each);
    for (std::int64_t lane = 0; lane < count - i; ++lane) values[i + lane] = last[lane];
  }
};

}  // namespace
}  // namespace plumbline::native
