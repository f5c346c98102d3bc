// Vectors of one row in shared memory: brought there, and normed in place, in the order of
// impl/cuda/rms_norm.h. For decode/step.cu.
#pragma once

#include <cstdint>

#include "impl/cuda/decode/threads.cuh"
#include "impl/cuda/device.cuh"
#include "impl/cuda/prefetch.cuh"
#include "impl/cuda/rms_norm.h"
#include "impl/cuda/vectors.h"

namespace plumbline::native::cuda {

// from: [width] in global memory. x: the same, and zeros up to a multiple of 256. Ends with a barrier.
template <typename T>
__device__ __forceinline__ void load_vector(const T* from, int width, T* x) {
  constexpr int kCount = Packed<T>::kCount;
  const int padded = static_cast<int>(padded_depth(width));
#pragma unroll 2
  for (int i = this_thread() * kCount; i < padded; i += kDecodeThreads * kCount) {
    Vector<T, kCount> values{};
    if (i < width) values = read_vector<T, kCount>(from + i);
    write_vector(x + i, values);
  }
  __syncthreads();
}

// A norm's weight, which depends on nothing: asked for ahead of its turn.
template <typename T>
__device__ __forceinline__ void ask_for_weight(const T* from, int width, T* to) {
  constexpr int kCount = Packed<T>::kCount;
#pragma unroll 1
  for (int i = this_thread() * kCount; i < width; i += kDecodeThreads * kCount) {
    copy_to_shared(to + i, from + i);
  }
}

// x, weight: [width] in shared memory, seen by all. sums: [32]. Ends with a barrier.
template <typename T>
__device__ __forceinline__ void norm_vector(const T* weight, float eps, int width, float* sums, T* x) {
  const int thread = this_thread();
  if (thread < kSumLanes) {
    float sum = 0.0f;
#pragma unroll 4
    for (int i = thread; i < width; i += kSumLanes) {
      const float value = widen(x[i]);
      sum = fmaf(value, value, sum);
    }
    sum = sum_of_thread_lanes(sum);
    if (thread % kThreadLanes == 0) sums[thread / kThreadLanes] = sum;
  }
  __syncthreads();
  const float scale = rms_scale(warp_sum(sums[thread % kWarp]), width, eps);
  constexpr int kCount = Packed<T>::kCount;
#pragma unroll 1
  for (int i = thread * kCount; i < width; i += kDecodeThreads * kCount) {
    auto values = read_vector<T, kCount>(static_cast<const T*>(x) + i);
    const auto weights = read_vector<T, kCount>(weight + i);
#pragma unroll
    for (int k = 0; k < kCount; ++k) values.values[k] = normed(values.values[k], scale, weights.values[k]);
    write_vector(x + i, values);
  }
  __syncthreads();
}

}  // namespace plumbline::native::cuda
