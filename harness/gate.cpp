#include "harness/gate.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace plumbline {
namespace {

constexpr std::int64_t kBlock = 2048;  // elements at a time: large tensors are not copied whole

// Largest |expected| of each row, at least 1: ceilings are for values of that scale.
std::vector<double> row_scales(const TensorView& expected, std::int64_t row_length) {
  std::vector<double> scales(static_cast<std::size_t>(expected.elements() / row_length), 1.0);
  std::array<double, kBlock> buffer;
  for (std::int64_t begin = 0; begin < expected.elements(); begin += kBlock) {
    const std::int64_t count = std::min(kBlock, expected.elements() - begin);
    read_f64(expected, begin, std::span(buffer.data(), static_cast<std::size_t>(count)));
    for (std::int64_t i = 0; i < count; ++i) {
      const double magnitude = std::fabs(buffer[static_cast<std::size_t>(i)]);
      double& scale = scales[static_cast<std::size_t>((begin + i) / row_length)];
      if (std::isfinite(magnitude)) scale = std::max(scale, magnitude);
    }
  }
  return scales;
}

}  // namespace

Tolerance tolerance_for(const Replay& replay, Tolerance tolerance) {
  if (!replay.ceiling_holds) tolerance.ceiling.reset();
  return tolerance;
}

Gates::Gates(const TensorView& expected, std::span<const double> bound, std::span<const double> roundings,
             const Tolerance& tolerance, DType stored)
    : bound_(bound),
      roundings_(roundings),
      lambda_(tolerance.rule == Rule::exact ? 1.0 : tolerance.lambda),
      half_(stored == DType::bf16 || stored == DType::f16),
      stored_(stored) {
  if (!tolerance.ceiling || bound.empty() || expected.elements() == 0) return;
  row_length_ = expected.shape.rank() > 0 ? expected.shape[expected.shape.rank() - 1] : 1;
  ceilings_ = row_scales(expected, row_length_);
  for (double& scale : ceilings_) scale *= *tolerance.ceiling;
}

double Gates::before_rounding(std::int64_t index) const {
  const auto at = static_cast<std::size_t>(index);
  return lambda_ * bound_[at] + (roundings_.empty() ? 0.0 : roundings_[at]);
}

bool Gates::may_overflow(std::int64_t index, double expected) const {
  if (!half_) return false;
  const double error = bound_.empty() ? 0.0 : before_rounding(index);
  return std::isfinite(expected) && std::fabs(expected) + error >= first_overflow(stored_);
}

bool Gates::unknown(std::int64_t index, double expected) const {
  return half_ && (std::isnan(expected) || (!bound_.empty() && std::isinf(before_rounding(index))));
}

double Gates::at(std::int64_t index, double expected) const {
  if (bound_.empty()) return 0;
  const double rounding = half_ ? half_spacing(expected, stored_) : 0.0;
  const double gate = rounding + before_rounding(index);
  return ceilings_.empty() ? gate : std::min(gate, ceilings_[static_cast<std::size_t>(index / row_length_)]);
}

}  // namespace plumbline
