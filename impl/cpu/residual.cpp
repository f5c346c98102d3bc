#include "impl/cpu/residual.h"

namespace plumbline::native {

void residual(const CpuContext& context, const float* a, const float* b, std::int64_t count, float* out) {
  context.pool.parallel_for(count, CpuContext::kPartWork, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) out[i] = a[i] + b[i];
    context.store(out + begin, end - begin);
  });
}

}  // namespace plumbline::native
