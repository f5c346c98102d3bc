// The elements that the device stores, f32 or bf16, and their exact way to f32 and back.
#pragma once

#include <cstdint>
#include <cstring>

#include "harness/dtype.h"
#include "harness/error.h"
#include "impl/cuda/host_device.h"

namespace plumbline::native::cuda {

struct Bf16 {
  std::uint16_t bits;
};

PLUMBLINE_HOST_DEVICE inline std::uint32_t bits_of(float value) {
  std::uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
PLUMBLINE_HOST_DEVICE inline float float_of(std::uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

PLUMBLINE_HOST_DEVICE inline float widen(float value) {
  return value;
}
PLUMBLINE_HOST_DEVICE inline float widen(Bf16 value) {
  return float_of(static_cast<std::uint32_t>(value.bits) << 16);
}

// To nearest, ties to even; beyond the largest an infinity; a NaN stays one, quiet (IEEE 754, 4.3.1).
template <typename T>
PLUMBLINE_HOST_DEVICE T narrow(float value);
template <>
PLUMBLINE_HOST_DEVICE inline float narrow<float>(float value) {
  return value;
}
template <>
PLUMBLINE_HOST_DEVICE inline Bf16 narrow<Bf16>(float value) {
  const std::uint32_t bits = bits_of(value);
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  const std::uint32_t rounded = is_nan ? bits | 0x00400000u : bits + 0x7fffu + ((bits >> 16) & 1u);
  return {static_cast<std::uint16_t>(rounded >> 16)};
}

// A value as an op leaves it: rounded to T once, as f32.
template <typename T>
PLUMBLINE_HOST_DEVICE inline float stored(float value) {
  return widen(narrow<T>(value));
}

// 16 bytes that are read and written in one access; the address must be a multiple of 16.
template <typename T>
struct alignas(16) Packed {
  static constexpr int kCount = 16 / sizeof(T);
  T values[kCount];
};

// Calls body(T{}) with the element type of `storage`: float or Bf16. Other dtypes are refused where an engine
// or a cache is made.
template <typename Body>
void for_storage(DType storage, const Body& body) {
  if (storage == DType::bf16) return body(Bf16{});
  require(storage == DType::f32, "cuda: a storage dtype that is neither f32 nor bf16");
  body(float{});
}

}  // namespace plumbline::native::cuda
