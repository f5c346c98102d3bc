#include "impl/cpu/silu_mul.h"

#include <cmath>

namespace plumbline::native {

void silu_mul(const CpuContext& context, const float* gate, const float* up, std::int64_t count, float* out) {
  constexpr std::int64_t kExpWork = 16;  // an exponential costs about as much as this many multiply-adds
  context.pool.parallel_for(count, CpuContext::grain(kExpWork), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) out[i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
    context.store(out + begin, end - begin);
  });
}

}  // namespace plumbline::native
