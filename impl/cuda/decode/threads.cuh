// Who a thread is in the kernel of a decode step; for decode/step.cu.
#pragma once

#include <cuda_runtime.h>

#include "impl/cuda/decode/plan.h"

namespace plumbline::native::cuda {

// The same number, of which the compiler knows nothing: what follows from it is computed where it is used. A
// persistent kernel would otherwise hold all that follows from a thread's number in registers, of all phases
// at once, and spill.
__device__ __forceinline__ int opaque(int value) {
  asm volatile("" : "+r"(value));
  return value;
}
__device__ __forceinline__ int this_thread() {
  return opaque(static_cast<int>(threadIdx.x));
}
__device__ __forceinline__ int lane_of_thread() {
  return this_thread() % kWarp;
}
__device__ __forceinline__ int warp_of_thread() {
  return this_thread() / kWarp;
}
__device__ __forceinline__ WarpOutputs own_outputs() {
  return outputs_of_warp(static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x), warp_of_thread());
}

}  // namespace plumbline::native::cuda
