// Linear layer: y = x Wᵀ + b. transformers: torch.nn.Linear in Qwen2Attention, Qwen2MLP and lm_head.
#pragma once

#include <cstdint>
#include <variant>

#include "impl/cpu/context.h"

namespace plumbline::native {

// A matrix in the dtype it is stored in.
using StoredMatrix = std::variant<const float*, const Bf16*, const F16*>;

struct LinearWeights {
  StoredMatrix weight;          // [outs, depth]
  const float* bias = nullptr;  // [outs], or null
  std::int64_t outs = 0;
  std::int64_t depth = 0;
};

// x: [rows, depth]; y: [rows, outs], as CpuContext::store leaves it. Order of sums: impl/cpu/kernels.h; the
// bias is added last.
void linear(const CpuContext& context, const LinearWeights& weights, const float* x, std::int64_t rows,
            float* y);

}  // namespace plumbline::native
