#include <cmath>

#include "reference/internal/ops_torch.h"
#include "reference/internal/rounding_torch.h"

namespace plumbline::reference::ops {
namespace {

at::Tensor normed(const at::Tensor& x, double eps) {
  const at::Tensor mean_square = x.pow(2).mean(-1, /*keepdim=*/true);
  return x * at::rsqrt(mean_square + eps);
}

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return weight * normed(wide(x), eps).to(x.scalar_type());
}

// u|y|(sqrt(n)/2 + 4): the sum of n squares, then root, division and weight.
at::Tensor rms_norm_bound(const at::Tensor& y) {
  const double n = static_cast<double>(y.size(-1));
  return kUnitRoundoff * y.abs() * (std::sqrt(n) / 2.0 + 4.0);
}

// The normed value is rounded before the weight: h(t)|w|.
Rounded rms_norm_rounded(const at::Tensor& x, const at::Tensor& weight, double eps, const at::Tensor& y,
                         DType dtype) {
  const at::Tensor t = normed(x, eps);
  return {rounded_to(weight * rounded_to(t, dtype), dtype),
          and_the_last(y, half_spacings(t, dtype) * weight.abs(), dtype)};
}

}  // namespace plumbline::reference::ops
