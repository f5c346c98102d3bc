#include "impl/inverse_frequencies.h"

#include <algorithm>
#include <cmath>
#include <numbers>

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

}  // namespace plumbline::native
