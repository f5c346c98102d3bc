#include <algorithm>
#include <cmath>
#include <vector>

#include "reference/internal/ops_torch.h"

namespace plumbline::reference::ops {
namespace {

constexpr std::int64_t kReadings = 16;       // where the running sum is read
constexpr std::int64_t kOutputBlock = 8192;  // outputs at a time: bounds the memory of squared weights

// R: how far the running sum wanders, read at 16 equal steps, 0 and +-bias included.
at::Tensor wander(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  at::Tensor sum = at::zeros({x.size(0), weight.size(0)}, x.options());
  at::Tensor highest = bias.defined() ? sum + bias.abs() : sum.clone();
  at::Tensor lowest = -highest;
  const std::int64_t n = x.size(1);
  const std::int64_t step = (n + kReadings - 1) / kReadings;
  for (std::int64_t from = 0; from < n; from += step) {
    const std::int64_t length = std::min(step, n - from);
    sum = sum + at::matmul(x.narrow(1, from, length), weight.narrow(1, from, length).t());
    highest = at::maximum(highest, sum);
    lowest = at::minimum(lowest, sum);
  }
  return highest - lowest;
}

// u sqrt(n) (R + Q), Q the root of the sum of squared products.
at::Tensor block_bound(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  at::Tensor squares = at::matmul(x.square(), weight.square().t());
  if (bias.defined()) squares = squares + bias.square();
  const double n = static_cast<double>(x.size(1));
  return kUnitRoundoff * std::sqrt(n) * (wander(x, weight, bias) + squares.sqrt());
}

}  // namespace

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return at::linear(x, weight, bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt);
}

at::Tensor linear_bound(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  std::vector<at::Tensor> blocks;
  const std::int64_t outputs = weight.size(0);
  for (std::int64_t from = 0; from < outputs; from += kOutputBlock) {
    const std::int64_t length = std::min(kOutputBlock, outputs - from);
    const at::Tensor part = bias.defined() ? bias.narrow(0, from, length) : bias;
    blocks.push_back(block_bound(x, weight.narrow(0, from, length), part));
  }
  return at::cat(blocks, 1);
}

}  // namespace plumbline::reference::ops
