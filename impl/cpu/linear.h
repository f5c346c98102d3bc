// Linear layer: y = x Wᵀ + b. transformers: torch.nn.Linear in Qwen2Attention, Qwen2MLP and lm_head.
#pragma once

#include <cstdint>

#include "impl/cpu/context.h"

namespace plumbline::native {

struct LinearWeights {
  const float* weight = nullptr;  // [outs, depth]
  const float* bias = nullptr;    // [outs], or null
  std::int64_t outs = 0;
  std::int64_t depth = 0;
};

// x: [rows, depth]; y: [rows, outs]. Order of sums: impl/cpu/kernels.h; the bias is added last.
void linear(const CpuContext& context, const LinearWeights& weights, const float* x, std::int64_t rows,
            float* y);

}  // namespace plumbline::native
