// The gated activation of the MLP: silu(gate) * up = gate / (1 + exp(-gate)) * up. transformers: Qwen2MLP.
#pragma once

#include <cstdint>

#include "impl/cpu/context.h"

namespace plumbline::native {

// `count` floats each; out may be gate or up. exp(-gate) overflows below -88.7: the result is then 0.
// Computed in f32, left as CpuContext::store leaves it.
void silu_mul(const CpuContext& context, const float* gate, const float* up, std::int64_t count, float* out);

}  // namespace plumbline::native
