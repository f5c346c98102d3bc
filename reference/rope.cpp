#include "reference/rope.h"

#include <algorithm>
#include <cmath>

#include "reference/internal/convert_torch.h"
#include "reference/internal/ops_torch.h"
#include "reference/internal/rounding_torch.h"

namespace plumbline::reference {
namespace ops {
namespace {

// The dimension whose wave turns `rotations` times within the original context.
double correction_dimension(double rotations, const ModelConfig& config) {
  const double length = static_cast<double>(config.rope.original_max_position_embeddings);
  const double dim = static_cast<double>(config.head_dim);
  return dim * std::log(length / (rotations * 2.0 * M_PI)) / (2.0 * std::log(config.rope.theta));
}

// 1 where a frequency is kept, 0 where it is divided by the factor, a ramp between.
at::Tensor yarn_kept(const ModelConfig& config, at::ScalarType type) {
  const double last = static_cast<double>(config.head_dim - 1);
  const double low = std::max(std::floor(correction_dimension(config.rope.beta_fast, config)), 0.0);
  double high = std::min(std::ceil(correction_dimension(config.rope.beta_slow, config)), last);
  if (low == high) high += 0.001;  // no division by zero
  const at::Tensor ramp = (at::arange(config.head_dim / 2, type) - low) / (high - low);
  return 1.0 - ramp.clamp(0.0, 1.0);
}

at::Tensor frequencies(const ModelConfig& config, at::ScalarType type) {
  const at::Tensor exponents = at::arange(0, config.head_dim, 2, type) / static_cast<double>(config.head_dim);
  const at::Tensor powers = at::pow(config.rope.theta, exponents);
  if (config.rope.type != "yarn") return 1.0 / powers;
  const at::Tensor kept = yarn_kept(config, type);
  return 1.0 / (config.rope.factor * powers) * (1.0 - kept) + 1.0 / powers * kept;
}

// cat(-x2, x1)
at::Tensor rotate_half(const at::Tensor& x) {
  const std::vector<at::Tensor> halves = x.chunk(2, -1);
  return at::cat({-halves[1], halves[0]}, -1);
}

// |a| with its partner's beside it: |x1| + |x2| at both places of a pair.
at::Tensor with_partner(const at::Tensor& x) {
  return x.abs() + rotate_half(x).abs();
}

}  // namespace

at::Tensor inverse_frequencies(const ModelConfig& config) {
  return frequencies(config, at::kFloat);
}

at::Tensor exact_inverse_frequencies(const ModelConfig& config) {
  return rounded_to(frequencies(config, at::kDouble), DType::f32);
}

at::Tensor rotary_angles(const at::Tensor& positions, const at::Tensor& inv_freq) {
  const at::Tensor angles = positions.to(at::kFloat).unsqueeze(-1) * inv_freq.to(at::kFloat);
  return at::cat({angles, angles}, -1);
}

// u f (1 + |wave|): 1 for the wave itself; |wave|, where there is a factor other than 1, for the roundings of
// the factor and of the product with it.
at::Tensor cos_sin_bound(const at::Tensor& wave, double factor) {
  const at::Tensor one = at::ones_like(wave);
  return kUnitRoundoff * factor * (factor == 1.0 ? one : one + wave.abs());
}

at::Tensor rope(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  return x * cos.unsqueeze(1) + rotate_half(x) * sin.unsqueeze(1);
}

// 4u(|x1| + |x2|), times the factor that scales cos and sin.
at::Tensor rope_bound(const at::Tensor& x, double factor) {
  return 4.0 * kUnitRoundoff * factor * with_partner(x);
}

// 4u(|x1 cos| + |x2 sin|) + 2u angle |x1 sin + x2 cos|, whose lambda is 10; times 10 / 1.25, because rope's
// is 1.25.
at::Tensor rope_bound_own_table(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                                const at::Tensor& angles) {
  const at::Tensor products = (x * cos.unsqueeze(1)).abs() + (rotate_half(x) * sin.unsqueeze(1)).abs();
  const at::Tensor derivative = (rotate_half(x) * cos.unsqueeze(1) - x * sin.unsqueeze(1)).abs();
  const at::Tensor bound = 4.0 * products + 2.0 * angles.abs().unsqueeze(1) * derivative;
  return 10.0 / 1.25 * kUnitRoundoff * bound;
}

// Errors are those of cos_sin's gate: 2.5 B, and where the table is the engine's own 20u angle |slope|.
at::Tensor rope_roundings_of_table(const at::Tensor& x, const at::Tensor& angles, double factor,
                                   bool own_table, DType kept) {
  const auto open = [&](const at::Tensor& wave, const at::Tensor& slope) {
    const at::Tensor by_table = 20.0 * kUnitRoundoff * factor * angles.abs() * slope.abs();
    const at::Tensor error =
        2.5 * cos_sin_bound(wave, factor) + (own_table ? by_table : at::zeros_like(wave));
    const at::Tensor y = wave * factor;
    const at::Tensor decided = rounded_to(y - error, kept).eq(rounded_to(y + error, kept));
    return (2.0 * half_spacings(y, kept) + error).masked_fill(decided, 0.0).unsqueeze(1);
  };
  const at::Tensor cos = angles.cos(), sin = angles.sin();
  return x.abs() * open(cos, sin) + rotate_half(x).abs() * open(sin, cos);
}

// Both products are rounded before the sum: h(p1) + h(p2).
Rounded rope_rounded(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, const at::Tensor& y,
                     DType dtype) {
  const at::Tensor p1 = x * cos.unsqueeze(1), p2 = rotate_half(x) * sin.unsqueeze(1);
  return {rounded_to(rounded_to(p1, dtype) + rounded_to(p2, dtype), dtype),
          and_the_last(y, half_spacings(p1, dtype) + half_spacings(p2, dtype), dtype)};
}

}  // namespace ops

namespace {

// i64 [positions]
at::Tensor checked_positions(std::span<const std::int64_t> positions) {
  for (const std::int64_t position : positions) {
    if (position < 0) throw Error("position " + std::to_string(position) + " is negative", "positions");
    if (position > kLargestPosition) {
      throw Error("position " + std::to_string(position) + " is none that f32 holds for certain", "positions",
                  "whole numbers up to " + std::to_string(kLargestPosition));
    }
  }
  return at::tensor(at::ArrayRef<std::int64_t>(positions.data(), positions.size()), at::kLong);
}

}  // namespace

Tensor inv_freq(const ModelConfig& config) {
  const at::InferenceMode guard;
  return to_harness(ops::inverse_frequencies(config));
}

CosSin cos_sin(const ModelConfig& config, std::span<const std::int64_t> positions, DType dtype) {
  require(dtype == DType::f32 || dtype == DType::f64, "cos_sin: f32 or f64");
  const at::InferenceMode guard;
  const at::Tensor steps = checked_positions(positions);
  const at::Tensor angles = ops::rotary_angles(steps, ops::inverse_frequencies(config)).to(torch_type(dtype));
  const double factor = config.rope.attention_factor;
  return {to_harness(angles.cos() * factor), to_harness(angles.sin() * factor)};
}

CosSin real_cos_sin(const ModelConfig& config, std::span<const std::int64_t> positions) {
  const at::InferenceMode guard;
  const at::Tensor steps = checked_positions(positions).to(at::kDouble).unsqueeze(-1);
  const at::Tensor half = steps * ops::frequencies(config, at::kDouble);
  const at::Tensor angles = at::cat({half, half}, -1);
  const double factor = config.rope.attention_factor;
  return {to_harness(angles.cos() * factor), to_harness(angles.sin() * factor)};
}

Tensor rotate(const TensorView& x, const TensorView& cos, const TensorView& sin) {
  const bool fits = x.shape.rank() == 3 && cos.shape == Shape{x.shape[0], x.shape[2]} &&
                    sin.shape == cos.shape && x.shape[2] % 2 == 0 && cos.dtype == x.dtype &&
                    sin.dtype == x.dtype;
  require(fits, "rotate: shapes or dtypes do not fit");
  const at::InferenceMode guard;
  return to_harness(ops::rope(as_torch(x), as_torch(cos), as_torch(sin)));
}

}  // namespace plumbline::reference
