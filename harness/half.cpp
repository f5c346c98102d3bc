#include "harness/half.h"

#include <bit>
#include <cmath>

namespace plumbline {

std::uint16_t f32_to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>((bits >> 16) | 0x40);
  const std::uint32_t odd = (bits >> 16) & 1;
  return static_cast<std::uint16_t>((bits + 0x7FFF + odd) >> 16);  // a carry may run into the exponent
}

std::uint16_t f32_to_f16(float value) {
  const auto sign = static_cast<std::uint16_t>((std::bit_cast<std::uint32_t>(value) >> 16) & 0x8000);
  const float magnitude = std::fabs(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>(sign | 0x7E00);
  if (magnitude >= 65520.0f) return static_cast<std::uint16_t>(sign | 0x7C00);  // half way past the largest
  if (magnitude < 0x1p-14f) {  // subnormal: whole multiples of 2^-24
    return static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>(std::nearbyint(magnitude * 0x1p24f)));
  }
  const auto bits = std::bit_cast<std::uint32_t>(magnitude);
  const std::uint32_t odd = (bits >> 13) & 1;
  const std::uint32_t rounded = (bits + 0xFFF + odd) >> 13;  // exponent and ten bits of the fraction
  return static_cast<std::uint16_t>(sign | (rounded - ((127 - 15) << 10)));
}

}  // namespace plumbline
