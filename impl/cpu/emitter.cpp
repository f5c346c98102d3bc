#include "impl/cpu/emitter.h"

#include "impl/half.h"

namespace plumbline::native {

void Emitter::tensor(OpSite site, const BatchStep& step, const MutableTensorView& view) const {
  const ProbeId id{site, step.sequence};
  switch (sink_.access(id)) {
    case Access::none:
      return;
    case Access::read:
      return sink_.receive(id, view);
    case Access::write:
      return sink_.modify(id, view);
  }
}

void Emitter::tensor(OpSite site, const BatchStep& step, float* data, const Shape& shape) const {
  const Access wanted = access(site, step);
  if (wanted == Access::none) return;
  const DType dtype = kept_in(site.probe, storage_, precision_);
  if (dtype == DType::f32) return tensor(site, step, MutableTensorView(data, dtype, shape));
  Tensor shown(dtype, shape);
  const MutableTensorView view = shown.mutable_view();
  narrow(dtype, data, shape.elements(), static_cast<std::byte*>(view.mutable_data));
  tensor(site, step, view);
  if (wanted == Access::write) widen(dtype, shown.bytes().data(), shape.elements(), data);
}

void Emitter::rows(OpSite site, float* buffer, std::int64_t width) const {
  for (const BatchStep& step : batch_.steps) {
    tensor(site, step, buffer + step.first_row * width, {step.rows, width});
  }
}

void Emitter::head_rows(OpSite site, float* buffer, std::int64_t heads, std::int64_t head_dim) const {
  for (const BatchStep& step : batch_.steps) {
    tensor(site, step, buffer + step.first_row * heads * head_dim, {step.rows, heads, head_dim});
  }
}

}  // namespace plumbline::native
