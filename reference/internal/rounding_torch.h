// Where a half type's roundings fall, element by element.
#pragma once

#include <ATen/ATen.h>

#include "harness/dtype.h"
#include "reference/internal/convert_torch.h"

namespace plumbline::reference {

// A product this near to overflow may be infinite in one engine and finite in the next.
inline constexpr double kNearlyOverflown = 1.0 - 0x1p-12;

inline bool is_half(DType dtype) {
  return dtype == DType::bf16 || dtype == DType::f16;
}

// h of each element (harness/dtype.h's half_spacing): f64, of y's shape. dtype: a half type.
at::Tensor half_spacings(const at::Tensor& y, DType dtype);

// `roundings`, and what they add to the last rounding, which is at y's neighbour instead of y: beyond a power
// of two spacings are twice as wide.
at::Tensor and_the_last(const at::Tensor& y, const at::Tensor& roundings, DType dtype);

}  // namespace plumbline::reference
