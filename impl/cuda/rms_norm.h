// RMSNorm: x / sqrt(mean(x^2) + eps) * weight. transformers: Qwen2RMSNorm.
//
// ORDER OF SUMS: that of a linear layer (impl/cuda/linear.h), x[k] * x[k] in the place of x[k] * w[k].
#pragma once

#include <cmath>
#include <cstdint>

#include "harness/dtype.h"
#include "impl/cuda/element.h"
#include "impl/cuda/host_device.h"
#include "impl/cuda/launch_shape.h"
#include "impl/cuda/linear.h"

namespace plumbline::native::cuda {

// What a row is multiplied by, from the sum of its squares; each operation rounded to f32.
PLUMBLINE_HOST_DEVICE inline float rms_scale(float sum_of_squares, std::int64_t width, float eps) {
  return 1.0f / sqrtf(sum_of_squares / static_cast<float>(width) + eps);
}
template <typename T>
PLUMBLINE_HOST_DEVICE inline T normed(T x, float scale, T weight) {
  return narrow<T>(widen(x) * scale * widen(weight));
}

// A block for each row, a thread for each lane of its sum: the shortest way through one long row, which a
// decode step waits for. Assumed, not measured on a device.
constexpr LaunchShape shape_of_rms_norm(std::int64_t rows) {
  LaunchShape shape;
  shape.blocks_x = rows;
  shape.threads = kSumLanes;
  shape.shared_bytes = kWarp * sizeof(float);
  return shape;
}

// x, y: [rows, width]; weight: [width]; on the device, in `storage`. y may be x.
void rms_norm(Stream stream, DType storage, const void* weight, float eps, const void* x, std::int64_t rows,
              std::int64_t width, void* y);

}  // namespace plumbline::native::cuda
