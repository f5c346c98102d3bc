// Residual connection: out = a + b, each sum in f32, as CpuContext::store leaves it.
#pragma once

#include <cstdint>

#include "impl/cpu/context.h"

namespace plumbline::native {

// `count` floats each; out may be a or b.
void residual(const CpuContext& context, const float* a, const float* b, std::int64_t count, float* out);

}  // namespace plumbline::native
