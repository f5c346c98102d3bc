// Reductions and scans over a block of kSampleThreads; for .cu files of the sampler. All threads of the block
// call them; all that is added up is integers, so the order is of no account.
#pragma once

#include "impl/cuda/device.cuh"
#include "impl/cuda/sampling/board.h"

namespace plumbline::native::cuda {

inline constexpr unsigned kAllLanes = 0xffffffffu;
inline constexpr int kSampleWarps = kSampleThreads / kWarp;

__device__ __forceinline__ Fixed of_lane(Fixed value, int lane) {
  return {__shfl_sync(kAllLanes, value.hi, lane), __shfl_sync(kAllLanes, value.lo, lane)};
}
__device__ __forceinline__ Fixed across(Fixed value, int lanes) {
  return {__shfl_xor_sync(kAllLanes, value.hi, lanes), __shfl_xor_sync(kAllLanes, value.lo, lanes)};
}
__device__ __forceinline__ Census across(const Census& value, int lanes) {
  Census other;
  other.best = __shfl_xor_sync(kAllLanes, value.best, lanes);
  other.nans = __shfl_xor_sync(kAllLanes, value.nans, lanes);
  other.first_nan = __shfl_xor_sync(kAllLanes, value.first_nan, lanes);
  return other;
}
__device__ __forceinline__ Fixed both(Fixed a, Fixed b) {
  return plus(a, b);
}
__device__ __forceinline__ Census both(const Census& a, const Census& b) {
  return merged(a, b);
}

// Of all threads, in each of them. scratch: kSampleScratch bytes, free again afterwards.
template <typename T>
__device__ __forceinline__ T over_block(T value, T* scratch) {
#pragma unroll
  for (int half = kWarp / 2; half > 0; half /= 2) value = both(value, across(value, half));
  const int thread = static_cast<int>(threadIdx.x);
  if (thread % kWarp == 0) scratch[thread / kWarp] = value;
  __syncthreads();
  value = scratch[0];
#pragma unroll
  for (int warp = 1; warp < kSampleWarps; ++warp) value = both(value, scratch[warp]);
  __syncthreads();
  return value;
}

// Of `count` values in global memory.
template <typename T>
__device__ __forceinline__ T over_all(const T* values, std::int64_t count, T* scratch) {
  T value{};
  for (std::int64_t i = threadIdx.x; i < count; i += kSampleThreads) value = both(value, values[i]);
  return over_block(value, scratch);
}

struct Ahead {
  Fixed before;  // of the threads before this one
  Fixed total;   // of all
};
__device__ __forceinline__ Ahead scan_block(Fixed own, Fixed* scratch) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp;
  Fixed sum = own;  // of the warp's lanes up to this one
#pragma unroll
  for (int step = 1; step < kWarp; step *= 2) {
    const Word hi = __shfl_up_sync(kAllLanes, sum.hi, static_cast<unsigned>(step));
    const Word lo = __shfl_up_sync(kAllLanes, sum.lo, static_cast<unsigned>(step));
    if (lane >= step) sum = plus(sum, {hi, lo});
  }
  if (lane == kWarp - 1) scratch[thread / kWarp] = sum;
  __syncthreads();
  Ahead ahead{{sum.hi - own.hi, sum.lo - own.lo}, {}};
#pragma unroll
  for (int warp = 0; warp < kSampleWarps; ++warp) {
    if (warp < thread / kWarp) ahead.before = plus(ahead.before, scratch[warp]);
    ahead.total = plus(ahead.total, scratch[warp]);
  }
  __syncthreads();
  return ahead;
}

// The thread's ids of a dense array [chunks, kChunk].
__device__ __forceinline__ std::int64_t first_id() {
  return static_cast<std::int64_t>(blockIdx.x) * kChunk +
         static_cast<std::int64_t>(threadIdx.x) * kSamplePerThread;
}
__device__ __forceinline__ Packed<float> read_four(const float* dense) {
  return *reinterpret_cast<const Packed<float>*>(dense + first_id());
}
__device__ __forceinline__ void write_four(float* dense, const Packed<float>& four) {
  *reinterpret_cast<Packed<float>*>(dense + first_id()) = four;
}

}  // namespace plumbline::native::cuda
