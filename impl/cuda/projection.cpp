#include "impl/cuda/projection.h"

namespace plumbline::native::cuda {

Projection::Projection(Stream stream, DType storage, const Batch& batch, MatmulLibrary* library)
    : stream_(stream), storage_(storage), batch_(batch), library_(library) {
  uses_library_ =
      std::ranges::any_of(batch.steps, [this](const BatchStep& step) { return by_library(step); });
}

void Projection::run(const LinearLayer& layer, const void* x, void* y) const {
  if (!uses_library_ || !MatmulLibrary::takes(storage_, layer)) {
    return linear(stream_, storage_, layer, x, batch_.rows, y);
  }
  const std::size_t element = dtype_size(storage_);
  for (const BatchStep& step : batch_.steps) {
    const auto first = static_cast<std::size_t>(step.first_row);
    const auto* const in =
        static_cast<const std::byte*>(x) + first * static_cast<std::size_t>(layer.depth) * element;
    auto* const out = static_cast<std::byte*>(y) + first * static_cast<std::size_t>(layer.outs) * element;
    if (by_library(step)) {
      library_->linear(stream_, storage_, layer, in, step.rows, out);
    } else {
      linear(stream_, storage_, layer, in, step.rows, out);
    }
  }
}

}  // namespace plumbline::native::cuda
