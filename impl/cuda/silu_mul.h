// silu(gate) * up, as one op: rounded to storage once. transformers: Qwen2MLP.forward.
#pragma once

#include <cstdint>

#include "harness/dtype.h"
#include "impl/cuda/element.h"
#include "impl/cuda/exp.h"
#include "impl/cuda/launch_shape.h"

namespace plumbline::native::cuda {

// gate / (1 + e^-gate) * up, each operation rounded to f32, then to T. Below a gate of about -88.7 e^-gate is
// infinite and the result 0.
template <typename T>
PLUMBLINE_HOST_DEVICE inline T silu_mul_of(T gate, T up) {
  const float g = widen(gate);
  return narrow<T>(g / (1.0f + exp_of(-g)) * widen(up));
}

// `count` elements each, on the device; out may be gate.
void silu_mul(Stream stream, DType storage, const void* gate, const void* up, std::int64_t count, void* out);

}  // namespace plumbline::native::cuda
