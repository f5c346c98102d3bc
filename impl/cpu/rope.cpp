#include "impl/cpu/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "impl/positions.h"

namespace plumbline::native {
namespace {

// theta^(2i / head_dim); the exponent is an f32 quotient, as in transformers.
float wavelength(double theta, std::int64_t i, std::int64_t head_dim) {
  const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
  return static_cast<float>(std::pow(theta, static_cast<double>(exponent)));
}

// The dimension that turns `rotations` times within the original context.
double correction_dim(double rotations, const RopeParameters& rope, double head_dim) {
  const auto length = static_cast<double>(rope.original_max_position_embeddings);
  return head_dim * std::log(length / (rotations * 2 * std::numbers::pi)) / (2 * std::log(rope.theta));
}

// YaRN's ramp over the pairs: 0 keeps a frequency, 1 divides it by the factor.
std::vector<float> interpolation_ramp(const RopeParameters& rope, std::int64_t head_dim) {
  const auto dim = static_cast<double>(head_dim);
  const double low = std::max(std::floor(correction_dim(rope.beta_fast, rope, dim)), 0.0);
  double high = std::min(std::ceil(correction_dim(rope.beta_slow, rope, dim)), dim - 1);
  if (low == high) high += 0.001;  // as in transformers: no division by zero
  std::vector<float> ramp(static_cast<std::size_t>(head_dim / 2));
  for (std::size_t i = 0; i < ramp.size(); ++i) {
    const float linear = (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low);
    ramp[i] = std::clamp(linear, 0.0f, 1.0f);
  }
  return ramp;
}

}  // namespace

std::vector<float> inverse_frequencies(const ModelConfig& config) {
  const RopeParameters& rope = config.rope;
  const bool yarn = rope.type == "yarn";
  const auto pairs = static_cast<std::size_t>(config.head_dim / 2);
  const std::vector<float> ramp =
      yarn ? interpolation_ramp(rope, config.head_dim) : std::vector<float>(pairs);
  std::vector<float> frequencies(pairs);
  for (std::size_t i = 0; i < pairs; ++i) {
    const float length = wavelength(rope.theta, static_cast<std::int64_t>(i), config.head_dim);
    const float extrapolated = 1.0f / length;
    if (!yarn) {
      frequencies[i] = extrapolated;
      continue;
    }
    const float interpolated = 1.0f / (static_cast<float>(rope.factor) * length);
    const float kept = 1.0f - ramp[i];
    frequencies[i] = interpolated * (1.0f - kept) + extrapolated * kept;
  }
  return frequencies;
}

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
