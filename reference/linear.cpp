#include <algorithm>
#include <cmath>
#include <vector>

#include "reference/internal/ops_torch.h"

namespace plumbline::reference::ops {
namespace {

constexpr std::int64_t kReadings = 16;            // where the running sum is read
constexpr std::int64_t kBlockElements = 1 << 18;  // of outputs at a time: the running sums stay in the cache
constexpr std::int64_t kFewestOutputs = 256;      // of a block: a product of fewer is slow
constexpr std::int64_t kMostOutputs = 8192;
constexpr std::int64_t kMostWeights = 1 << 20;  // of a block: scaled and squared they stay near the core, too

// A block of the product in f32, in units in which no term is larger than 1. A bound is wanted to a
// thousandth and f32 gives it to a millionth; in these units nothing overflows, and what underflows is
// nothing beside the largest term.
struct Block {
  at::Tensor x, weight, bias;  // f32; bias may be undefined
  at::Tensor unit;             // f64 [rows, 1]: what 1 stands for
};

double largest_of(const at::Tensor& values) {
  const auto [least, most] = at::aminmax(values);
  return std::max(std::fabs(least.item<double>()), std::fabs(most.item<double>()));
}

Block scaled(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  Block block;
  const double largest = largest_of(weight);
  block.unit = x.abs().amax(1, true) * largest;
  if (bias.defined()) block.unit.clamp_min_(largest_of(bias));
  block.unit.masked_fill_(block.unit == 0, 1.0);
  block.x = (x * (largest / block.unit)).to(at::kFloat);
  block.weight = largest > 0 ? weight.div(largest).to(at::kFloat) : weight.to(at::kFloat);
  if (bias.defined()) block.bias = (bias / block.unit).to(at::kFloat);
  return block;
}

// R: how far the running sum wanders, read at 16 equal steps, 0 and +-bias included.
at::Tensor wander(const Block& block) {
  const at::Tensor sum = at::zeros({block.x.size(0), block.weight.size(0)}, block.x.options());
  at::Tensor highest = block.bias.defined() ? block.bias.abs() : at::zeros_like(sum);
  at::Tensor lowest = -highest;
  const std::int64_t n = block.x.size(1);
  const std::int64_t step = (n + kReadings - 1) / kReadings;
  for (std::int64_t from = 0; from < n; from += step) {
    const std::int64_t length = std::min(step, n - from);
    sum.addmm_(block.x.narrow(1, from, length), block.weight.narrow(1, from, length).t());
    at::maximum_out(highest, highest, sum);
    at::minimum_out(lowest, lowest, sum);
  }
  return highest.sub_(lowest);
}

// u sqrt(n) (R + Q), Q the root of the sum of squared products.
at::Tensor block_bound(const Block& block) {
  at::Tensor squares = at::matmul(block.x.square(), block.weight.square().t());
  if (block.bias.defined()) squares.add_(block.bias.square());
  const double n = static_cast<double>(block.x.size(1));
  return wander(block)
      .add_(squares.sqrt_())
      .to(at::kDouble)
      .mul_(block.unit * (kUnitRoundoff * std::sqrt(n)));
}

}  // namespace

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return at::linear(x, weight, bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt);
}

void linear_into(at::Tensor out, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  at::linear_out(out, x, weight, bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt);
}

void linear_bound_into(at::Tensor out, const at::Tensor& x, const at::Tensor& weight,
                       const at::Tensor& bias) {
  const std::int64_t rows = x.size(0), outputs = weight.size(0);
  const std::int64_t fitting = kBlockElements / std::max<std::int64_t>(rows, 1);
  const std::int64_t most =
      std::clamp(kMostWeights / std::max<std::int64_t>(x.size(1), 1), kFewestOutputs, kMostOutputs);
  const std::int64_t size = std::clamp(fitting, kFewestOutputs, most);
  for (std::int64_t from = 0; from < outputs; from += size) {
    const std::int64_t length = std::min(size, outputs - from);
    const at::Tensor part = bias.defined() ? bias.narrow(0, from, length) : bias;
    out.narrow(1, from, length).copy_(block_bound(scaled(x, weight.narrow(0, from, length), part)));
  }
}

}  // namespace plumbline::reference::ops
