// RMSNorm: y = weight * (x / sqrt(mean(x²) + eps)). transformers: Qwen2RMSNorm.
#pragma once

#include <cstdint>

#include "impl/cpu/context.h"

namespace plumbline::native {

// x, y: [rows, width] (may be the same); weight: [width]. All in f32, y as CpuContext::store leaves it;
// the sum of squares in the lanes of impl/cpu/kernels.h; x is normed first, then multiplied by the weight.
void rms_norm(const CpuContext& context, const float* weight, float eps, const float* x, std::int64_t rows,
              std::int64_t width, float* y);

}  // namespace plumbline::native
