// What kernels share; for .cu files.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "impl/cuda/element.h"
#include "impl/cuda/launch_shape.h"

namespace plumbline::native::cuda {

// The block's shared memory, all of it asked for by the launch: LaunchShape::shared_bytes. Static __shared__
// variables are not used: the host's emulation (tests/cuda_emulation) has none.
template <typename T>
__device__ __forceinline__ T* shared_memory() {
  extern __shared__ __align__(16) unsigned char plumbline_shared_memory[];
  return reinterpret_cast<T*>(plumbline_shared_memory);
}

// The sum over the warp by the tree l + (l + 16), + 8, + 4, + 2, + 1: the same bits in every lane, since
// addition commutes. All 32 lanes call it.
template <typename T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int half = kWarp / 2; half > 0; half /= 2) value += __shfl_xor_sync(0xffffffffu, value, half);
  return value;
}
// The largest; a NaN is passed over.
__device__ __forceinline__ float warp_largest(float value) {
#pragma unroll
  for (int half = kWarp / 2; half > 0; half /= 2) {
    value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, half));
  }
  return value;
}

}  // namespace plumbline::native::cuda
