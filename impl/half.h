// f32 to the half types that are stored, and back.
#pragma once

#include <cstddef>
#include <cstdint>

#include "harness/dtype.h"

namespace plumbline::native {

// To f32, bf16 or f16: to nearest, ties to even; overflow gives an infinity, a NaN a quiet NaN. IEEE 754,
// 4.3.1.
void narrow(DType dtype, const float* from, std::int64_t count, std::byte* to);
// Exactly.
void widen(DType dtype, const std::byte* from, std::int64_t count, float* to);

}  // namespace plumbline::native
