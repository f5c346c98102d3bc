#include "reference/internal/rounding_torch.h"

#include <tuple>

#include "reference/internal/ops_torch.h"

namespace plumbline::reference {

at::Tensor half_spacings(const at::Tensor& y, DType dtype) {
  require(is_half(dtype), "half_spacings: no half type");
  const int stored_bits = dtype == DType::bf16 ? 7 : 10;
  const int smallest = dtype == DType::bf16 ? -126 : -14;  // exponent of the smallest normal value
  const at::Tensor exponent = std::get<1>(at::frexp(y)) - 1;
  const at::Tensor normal = exponent.masked_fill(y == 0, smallest).clamp_min(smallest);
  return at::exp2((normal - stored_bits - 1).to(at::kDouble));
}

at::Tensor and_the_last(const at::Tensor& y, const at::Tensor& roundings, DType dtype) {
  return roundings + half_spacings(y.abs() + roundings, dtype) - half_spacings(y, dtype);
}

namespace ops {

at::Tensor wide(const at::Tensor& x) {
  const bool half = x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kHalf;
  return half ? x.to(at::kFloat) : x;
}

}  // namespace ops
}  // namespace plumbline::reference
