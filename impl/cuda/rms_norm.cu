#include "impl/cuda/rms_norm.h"

#include "impl/cuda/device.cuh"
#include "impl/cuda/launch.h"
#include "impl/cuda/linear_terms.cuh"

namespace plumbline::native::cuda {
namespace {

// Elements of a thread that are on their way from memory at once; a row of 4096 is read in one go.
constexpr int kBatch = 16;

// One row for each block, one lane of the sum for each thread: all loads of a warp are side by side at any
// width, and a single long row has as many in flight as the order of sums allows. A thread reads and writes
// only its own elements, so y may be x. No __restrict__ for the same reason.
template <typename T>
__global__ void __launch_bounds__(kSumLanes)
    rms_norm_kernel(const T* weight, float eps, const T* x, std::int64_t width, T* y) {
  const int lane = static_cast<int>(threadIdx.x);
  const T* in = x + static_cast<std::int64_t>(blockIdx.x) * width;
  T* out = y + static_cast<std::int64_t>(blockIdx.x) * width;

  float sum = 0.0f;
  for (std::int64_t first = lane; first < width; first += kBatch * kSumLanes) {
    float values[kBatch];
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const std::int64_t i = first + b * kSumLanes;
      values[b] = i < width ? widen(in[i]) : 0.0f;  // which leaves a sum of squares as it is
    }
#pragma unroll
    for (int b = 0; b < kBatch; ++b) sum = fmaf(values[b], values[b], sum);
  }
  // Lanes 8t to 8t + 7 are neighbours in one warp of this block; their sums meet in shared memory.
  sum = sum_of_thread_lanes(sum);
  float* sums = shared_memory<float>();  // [32]
  if (lane % kThreadLanes == 0) sums[lane / kThreadLanes] = sum;
  __syncthreads();
  const float scale = rms_scale(warp_sum(sums[lane % kWarp]), width, eps);

  for (std::int64_t first = lane; first < width; first += kBatch * kSumLanes) {
    T values[kBatch], weights[kBatch];
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const std::int64_t i = first + b * kSumLanes;
      values[b] = i < width ? in[i] : T{};
      weights[b] = i < width ? weight[i] : T{};
    }
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const std::int64_t i = first + b * kSumLanes;
      if (i < width) out[i] = normed(values[b], scale, weights[b]);
    }
  }
}

}  // namespace

void rms_norm(Stream stream, DType storage, const void* weight, float eps, const void* x, std::int64_t rows,
              std::int64_t width, void* y) {
  if (rows == 0) return;
  for_storage(storage, [&](auto element) {
    using T = decltype(element);
    launch("rms_norm", rms_norm_kernel<T>, shape_of_rms_norm(rows), stream, static_cast<const T*>(weight),
           eps, static_cast<const T*>(x), width, static_cast<T*>(y));
  });
}

}  // namespace plumbline::native::cuda
