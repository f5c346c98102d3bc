#include "impl/cpu/rms_norm.h"

#include <cmath>

namespace plumbline::native {

void rms_norm(const CpuContext& context, const float* weight, float eps, const float* x, std::int64_t rows,
              std::int64_t width, float* y) {
  const auto part = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const float* in = x + row * width;
      float* out = y + row * width;
      const float mean_square = context.kernels.sum_squares(in, width) / static_cast<float>(width);
      const float scale = 1.0f / std::sqrt(mean_square + eps);
      for (std::int64_t i = 0; i < width; ++i) out[i] = in[i] * scale * weight[i];
      context.store(out, width);
    }
  };
  context.pool.parallel_for(rows, CpuContext::grain(width), part);
}

}  // namespace plumbline::native
