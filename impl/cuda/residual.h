// Residual connection: out = a + b, each sum rounded once to f32, then to storage.
#pragma once

#include <cstdint>

#include "harness/dtype.h"
#include "impl/cuda/element.h"
#include "impl/cuda/launch_shape.h"

namespace plumbline::native::cuda {

template <typename T>
PLUMBLINE_HOST_DEVICE inline T residual_of(T a, T b) {
  return narrow<T>(widen(a) + widen(b));
}

// `count` elements each, on the device; out may be a or b.
void residual(Stream stream, DType storage, const void* a, const void* b, std::int64_t count, void* out);

}  // namespace plumbline::native::cuda
