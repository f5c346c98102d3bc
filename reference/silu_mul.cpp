#include "reference/internal/ops_torch.h"
#include "reference/internal/rounding_torch.h"

namespace plumbline::reference::ops {

at::Tensor silu_mul(const at::Tensor& gate, const at::Tensor& up) {
  return at::silu(gate) * up;
}

// u|y|(4 + max(0, -g)) + 2^-118 (1 + |up|): the exponent's own rounding grows with -g; the floor is for g <
// -88, where e^-g overflows and engines give 0.
at::Tensor silu_mul_bound(const at::Tensor& gate, const at::Tensor& up, const at::Tensor& y) {
  return kUnitRoundoff * y.abs() * (4.0 + (-gate).clamp_min(0.0)) + 0x1p-118 * (1.0 + up.abs());
}

// silu is rounded before the product: h(silu)|up|.
Rounded silu_mul_rounded(const at::Tensor& gate, const at::Tensor& up, const at::Tensor& y, DType dtype) {
  const at::Tensor silu = at::silu(gate);
  return {rounded_to(rounded_to(silu, dtype) * up, dtype),
          and_the_last(y, half_spacings(silu, dtype) * up.abs(), dtype)};
}

}  // namespace plumbline::reference::ops
