// Between the harness's tensors and LibTorch's.
#pragma once

#include <ATen/ATen.h>

#include "harness/tensor.h"

namespace plumbline::reference {

at::ScalarType torch_type(DType dtype);
DType harness_type(at::ScalarType type);

// A view of host memory, no copy; valid as long as the view's owner says.
at::Tensor as_torch(const TensorView& view);
// The tensor's own memory, to be written; valid as long as it lives.
at::Tensor writable(Tensor& tensor);
// A contiguous f64 copy.
at::Tensor to_f64_torch(const TensorView& view);

// Views into `tensor`'s storage, with its strides; valid as long as the storage is.
TensorView view_of(const at::Tensor& tensor);
MutableTensorView mutable_view_of(const at::Tensor& tensor);

// A copy owned by the harness.
Tensor to_harness(const at::Tensor& tensor);

// f64 values rounded to `dtype`, given back in f64.
at::Tensor rounded_to(const at::Tensor& f64, DType dtype);

}  // namespace plumbline::reference
