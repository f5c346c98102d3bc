// f32 rounded to the half types, to nearest, ties to even: what an engine stores. Widening is in
// harness/dtype.h.
#pragma once

#include <cstdint>

namespace plumbline {

// Overflow gives an infinity, a NaN a quiet NaN.
std::uint16_t f32_to_bf16(float value);
std::uint16_t f32_to_f16(float value);

}  // namespace plumbline
