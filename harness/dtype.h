// Element types, their names in safetensors files, and exact conversions from half types.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace plumbline {

enum class DType : std::uint8_t { f64, f32, bf16, f16, i64, i32, boolean };

std::size_t dtype_size(DType dtype);                   // bytes
std::string_view dtype_name(DType dtype);              // "f32": command line, reports, tolerances.yaml
std::string_view dtype_safetensors_name(DType dtype);  // "F32"
DType dtype_from_name(std::string_view name);          // throws Error for an unknown name
// False when the name is not one this project reads.
bool dtype_from_safetensors_name(std::string_view name, DType& dtype);

inline bool is_floating(DType dtype) {
  return dtype == DType::f64 || dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16;
}

inline float bf16_to_f32(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}
float f16_to_f32(std::uint16_t bits);

// Half the distance between neighbouring values of `dtype` around y: what one rounding to `dtype` may cost.
// Subnormals included. 0 for f64.
double half_spacing(double y, DType dtype);

// The least number that rounds to infinity in `dtype`, to nearest, ties to even: half a spacing beyond its
// largest finite value. Infinity for f64.
double first_overflow(DType dtype);

}  // namespace plumbline
