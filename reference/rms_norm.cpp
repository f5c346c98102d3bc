#include <cmath>

#include "reference/internal/ops_torch.h"

namespace plumbline::reference::ops {

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  const at::Tensor mean_square = x.pow(2).mean(-1, /*keepdim=*/true);
  return weight * (x * at::rsqrt(mean_square + eps));
}

// u|y|(sqrt(n)/2 + 4): the sum of n squares, then root, division and weight.
at::Tensor rms_norm_bound(const at::Tensor& y) {
  const double n = static_cast<double>(y.size(-1));
  return kUnitRoundoff * y.abs() * (std::sqrt(n) / 2.0 + 4.0);
}

}  // namespace plumbline::reference::ops
