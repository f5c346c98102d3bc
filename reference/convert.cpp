#include "reference/internal/convert_torch.h"

#include <cstring>

namespace plumbline::reference {

at::ScalarType torch_type(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return at::kDouble;
    case DType::f32:
      return at::kFloat;
    case DType::bf16:
      return at::kBFloat16;
    case DType::f16:
      return at::kHalf;
    case DType::i64:
      return at::kLong;
    case DType::i32:
      return at::kInt;
    case DType::boolean:
      return at::kBool;
  }
  throw InternalError("torch_type: dtype out of range");
}

DType harness_type(at::ScalarType type) {
  for (const DType dtype :
       {DType::f64, DType::f32, DType::bf16, DType::f16, DType::i64, DType::i32, DType::boolean}) {
    if (torch_type(dtype) == type) return dtype;
  }
  throw InternalError("harness_type: a type that the harness does not have");
}

at::Tensor as_torch(const TensorView& view) {
  require(view.device.kind == DeviceKind::cpu, "as_torch: the view is on a device");
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> strides;
  for (int axis = 0; axis < view.shape.rank(); ++axis) {
    sizes.push_back(view.shape[axis]);
    strides.push_back(view.strides[axis]);
  }
  return at::from_blob(const_cast<void*>(view.data), sizes, strides,
                       at::TensorOptions(torch_type(view.dtype)));
}

at::Tensor writable(Tensor& tensor) {
  return as_torch(tensor.mutable_view());
}

at::Tensor to_f64_torch(const TensorView& view) {
  return as_torch(view).to(at::kDouble, /*non_blocking=*/false, /*copy=*/true).contiguous();
}

MutableTensorView mutable_view_of(const at::Tensor& tensor) {
  Shape shape;
  Shape strides;
  for (std::int64_t axis = 0; axis < tensor.dim(); ++axis) {
    shape.append(tensor.size(axis));
    strides.append(tensor.stride(axis));
  }
  return {tensor.mutable_data_ptr(), harness_type(tensor.scalar_type()), shape, strides};
}

TensorView view_of(const at::Tensor& tensor) {
  return mutable_view_of(tensor);
}

Tensor to_harness(const at::Tensor& tensor) {
  return copy_host(view_of(tensor.contiguous()));
}

at::Tensor rounded_to(const at::Tensor& f64, DType dtype) {
  // f64 to a half type goes by way of f32 in LibTorch; 24 bits >= 2 * 11 + 2, so sums of two half values
  // round twice to what one rounding gives.
  return f64.to(torch_type(dtype)).to(at::kDouble);
}

}  // namespace plumbline::reference
