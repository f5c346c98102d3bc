#include "harness/dtype.h"

#include <array>
#include <cmath>
#include <limits>

#include "harness/error.h"

namespace plumbline {
namespace {

struct DTypeRow {
  DType dtype;
  std::size_t size;
  std::string_view name;
  std::string_view safetensors_name;
};

constexpr std::array<DTypeRow, 7> kTypes{{
    {DType::f64, 8, "f64", "F64"},
    {DType::f32, 4, "f32", "F32"},
    {DType::bf16, 2, "bf16", "BF16"},
    {DType::f16, 2, "f16", "F16"},
    {DType::i64, 8, "i64", "I64"},
    {DType::i32, 4, "i32", "I32"},
    {DType::boolean, 1, "bool", "BOOL"},
}};

const DTypeRow& row(DType dtype) {
  return kTypes.at(static_cast<std::size_t>(dtype));
}

}  // namespace

std::size_t dtype_size(DType dtype) {
  return row(dtype).size;
}
std::string_view dtype_name(DType dtype) {
  return row(dtype).name;
}
std::string_view dtype_safetensors_name(DType dtype) {
  return row(dtype).safetensors_name;
}

DType dtype_from_name(std::string_view name) {
  for (const DTypeRow& type : kTypes) {
    if (type.name == name) return type.dtype;
  }
  throw Error("unknown dtype '" + std::string(name) + "'", "", "one of f32, f64, bf16, f16");
}

bool dtype_from_safetensors_name(std::string_view name, DType& dtype) {
  for (const DTypeRow& type : kTypes) {
    if (type.safetensors_name == name) {
      dtype = type.dtype;
      return true;
    }
  }
  return false;
}

float f16_to_f32(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1fu;
  const std::uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24, exact in f32
    const float magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    return sign ? -magnitude : magnitude;
  }
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

double first_overflow(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return std::ldexp(2.0 - std::ldexp(1.0, -24), 127);
    case DType::bf16:
      return std::ldexp(2.0 - std::ldexp(1.0, -8), 127);
    case DType::f16:
      return 65520.0;
    default:
      return std::numeric_limits<double>::infinity();
  }
}

double half_spacing(double y, DType dtype) {
  int mantissa_bits = 0;  // stored bits
  int min_exponent = 0;   // of the smallest normal value
  switch (dtype) {
    case DType::f32:
      mantissa_bits = 23, min_exponent = -126;
      break;
    case DType::bf16:
      mantissa_bits = 7, min_exponent = -126;
      break;
    case DType::f16:
      mantissa_bits = 10, min_exponent = -14;
      break;
    default:
      return 0.0;
  }
  const double magnitude = std::fabs(y);
  const int exponent = magnitude > 0.0 && std::isfinite(magnitude) ? std::ilogb(magnitude) : min_exponent;
  return std::ldexp(0.5, (exponent < min_exponent ? min_exponent : exponent) - mantissa_bits);
}

}  // namespace plumbline
