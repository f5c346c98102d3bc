#include "impl/cuda/emitter.h"

#include <algorithm>

#include "impl/cuda/memory.h"

namespace plumbline::native::cuda {

TensorView device_view(const void* data, DType dtype, const Shape& shape) {
  return {data, dtype, shape, Device{DeviceKind::cuda, 0}};
}

bool Emitter::listens(std::span<const OpSite> sites) const {
  return std::ranges::any_of(batch_.steps, [&](const BatchStep& step) {
    return std::ranges::any_of(sites, [&](OpSite site) { return access(site, step) != Access::none; });
  });
}

void Emitter::on_host(OpSite site, const BatchStep& step, const MutableTensorView& view) const {
  const Access wanted = access(site, step);
  if (wanted == Access::read) sink_.receive({site, step.sequence}, view);
  if (wanted == Access::write) sink_.modify({site, step.sequence}, view);
}

void Emitter::tensor(OpSite site, const BatchStep& step, void* data, DType dtype, const Shape& shape) const {
  const Access wanted = access(site, step);
  if (wanted == Access::none) return;
  if (wanted == Access::read) return sink_.receive({site, step.sequence}, device_view(data, dtype, shape));
  Tensor shown(dtype, shape);
  const MutableTensorView view = shown.mutable_view();
  copy_to_host(stream_, view.mutable_data, data, shown.bytes().size());
  sink_.modify({site, step.sequence}, view);
  copy_to_device(stream_, data, view.data, shown.bytes().size());
}

void Emitter::rows(OpSite site, const ShownRows& shown) const {
  const std::int64_t width = shown.row.elements();
  for (const BatchStep& step : batch_.steps) {
    Shape shape{step.rows};
    for (int axis = 0; axis < shown.row.rank(); ++axis) shape.append(shown.row[axis]);
    const std::size_t offset = static_cast<std::size_t>(step.first_row * width) * dtype_size(shown.dtype);
    tensor(site, step, static_cast<std::byte*>(shown.data) + offset, shown.dtype, shape);
  }
}

}  // namespace plumbline::native::cuda
