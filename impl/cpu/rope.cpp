#include "impl/cpu/rope.h"

#include <cmath>

#include "impl/positions.h"

namespace plumbline::native {

void cos_sin(std::span<const std::int64_t> positions, std::span<const float> inv_freq, float factor,
             float* cos, float* sin) {
  check_positions(positions, "rotary angles");
  const auto pairs = static_cast<std::int64_t>(inv_freq.size());
  for (const std::int64_t position : positions) {
    for (std::int64_t i = 0; i < pairs; ++i) {
      const float angle = static_cast<float>(position) * inv_freq[static_cast<std::size_t>(i)];
      // In f64 the cosine of the f32 angle is right to the last bit of f32 at every size of angle.
      cos[i] = cos[i + pairs] = static_cast<float>(std::cos(static_cast<double>(angle))) * factor;
      sin[i] = sin[i + pairs] = static_cast<float>(std::sin(static_cast<double>(angle))) * factor;
    }
    cos += 2 * pairs;
    sin += 2 * pairs;
  }
}

void rope(const CpuContext& context, float* x, std::int64_t tokens, std::int64_t heads, std::int64_t head_dim,
          const float* cos, const float* sin) {
  const std::int64_t half = head_dim / 2;
  const auto part = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t token = begin; token < end; ++token) {
      const float* c = cos + token * head_dim;
      const float* s = sin + token * head_dim;
      for (std::int64_t head = 0; head < heads; ++head) {
        float* first = x + (token * heads + head) * head_dim;
        float* second = first + half;
        for (std::int64_t i = 0; i < half; ++i) {
          const float x1 = first[i];
          const float x2 = second[i];
          first[i] = x1 * c[i] - x2 * s[i];
          second[i] = x2 * c[i + half] + x1 * s[i + half];
        }
      }
      context.store(x + token * heads * head_dim, heads * head_dim);
    }
  };
  context.pool.parallel_for(tokens, CpuContext::grain(heads * head_dim), part);
}

}  // namespace plumbline::native
