#include <limits>
#include <string>

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include "reference/internal/convert_torch.h"
#include "reference/mask.h"

namespace plumbline::reference {
namespace {

double lowest(DType dtype) {
  if (dtype == DType::bf16) return static_cast<double>(std::numeric_limits<c10::BFloat16>::lowest());
  if (dtype == DType::f16) return static_cast<double>(std::numeric_limits<c10::Half>::lowest());
  return static_cast<double>(std::numeric_limits<float>::lowest());
}

double number(Forbidding form, DType dtype) {
  if (form == Forbidding::minus_1e9) return -1e9;
  return form == Forbidding::lowest_finite ? lowest(dtype) : -std::numeric_limits<double>::infinity();
}

void check_type(DType dtype) {
  if (dtype != DType::f32 && dtype != DType::bf16 && dtype != DType::f16)
    throw Error("no additive mask in " + std::string(dtype_name(dtype)), "mask");
}

// The mask's axes are the last of x.
void check_fit(const TensorView& x, const TensorView& mask) {
  const int first = x.shape.rank() - mask.shape.rank();
  bool fits = first >= 0 && mask.shape.rank() > 0 && x.elements() > 0;
  for (int axis = 0; fits && axis < mask.shape.rank(); ++axis)
    fits = x.shape[first + axis] == mask.shape[axis];
  if (!fits) throw Error(mask.shape.to_string() + " is no mask of " + x.shape.to_string(), "mask");
}

}  // namespace

Tensor additive_mask(const TensorView& allowed, Forbidding form, DType dtype) {
  check_type(dtype);
  if (allowed.elements() == 0 || allowed.shape.rank() == 0) throw Error("is empty", "mask");
  const at::InferenceMode guard;
  // In f64 first: a number that the type does not hold is rounded to it, not refused.
  const at::Tensor forbidden = as_torch(allowed).logical_not();
  const at::Tensor wide = at::zeros(forbidden.sizes(), at::kDouble);
  return to_harness(wide.masked_fill(forbidden, number(form, dtype)).to(torch_type(dtype)));
}

Tensor add_mask(const TensorView& x, const TensorView& mask) {
  check_type(mask.dtype);
  if (x.dtype != mask.dtype) throw Error("is in another type than what it is added to", "mask");
  check_fit(x, mask);
  const at::InferenceMode guard;
  return to_harness(as_torch(x) + as_torch(mask));
}

Tensor masked_softmax(const TensorView& masked_scores) {
  if (masked_scores.elements() == 0 || masked_scores.shape.rank() == 0) throw Error("no scores", "mask");
  const at::InferenceMode guard;
  return to_harness(at::softmax(as_torch(masked_scores), -1, at::kFloat));
}

Tensor allowed_softmax(const TensorView& scores, const TensorView& allowed) {
  check_fit(scores, allowed);
  const at::InferenceMode guard;
  const at::Tensor seen = as_torch(allowed).to(at::kBool);
  const double infinity = std::numeric_limits<double>::infinity();
  const at::Tensor hidden = as_torch(scores).to(at::kFloat).masked_fill(seen.logical_not(), -infinity);
  return to_harness(at::softmax(hidden, -1).masked_fill(seen.any(-1, /*keepdim=*/true).logical_not(), 0.0));
}

}  // namespace plumbline::reference
