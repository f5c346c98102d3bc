// Terms of linear layers' sums, as a thread reads and adds them (impl/cuda/linear.h); for .cu files.
#pragma once

#include <cstdint>
#include <cstring>

#include "impl/cuda/device.cuh"
#include "impl/cuda/linear.h"

namespace plumbline::native::cuda {

// A thread's 8 terms of a step of 256, as they lie in memory: bf16 pairs are taken apart where they are used,
// or the compiler keeps each in a register of its own.
template <typename T>
struct Terms {
  static constexpr int kPacks = kThreadLanes * static_cast<int>(sizeof(T)) / 16;
  static constexpr int kPackTerms = kThreadLanes / kPacks;
  struct [[gnu::may_alias]] alignas(16) Pack {
    std::uint32_t words[4];
  };
  Pack packs[kPacks];

  __device__ __forceinline__ float get(int lane) const {
    const std::uint32_t word = packs[lane / kPackTerms].words[lane % kPackTerms * sizeof(T) / 4];
    if constexpr (sizeof(T) == 4) return float_of(word);
    return float_of(lane % 2 == 0 ? word << 16 : word & 0xffff0000u);  // little endian
  }
};

// from[0] to from[7], zeros from `left` on. kVectors: from[0] lies at a multiple of 16 bytes, and `left` ends
// no pack in its middle.
template <bool kVectors, typename T>
__device__ __forceinline__ Terms<T> read_terms(const T* from, std::int64_t left) {
  using Pack = typename Terms<T>::Pack;
  constexpr int kPackTerms = Terms<T>::kPackTerms;
  Terms<T> terms{};
#pragma unroll
  for (int pack = 0; pack < Terms<T>::kPacks; ++pack) {
    const int first = pack * kPackTerms;
    if constexpr (kVectors) {
      if (first < left) terms.packs[pack] = *reinterpret_cast<const Pack*>(from + first);
    } else {
      Packed<T> values{};
#pragma unroll
      for (int i = 0; i < kPackTerms; ++i) {
        if (first + i < left) values.values[i] = from[first + i];
      }
      memcpy(&terms.packs[pack], &values, sizeof(Pack));
    }
  }
  return terms;
}

__device__ __forceinline__ float add_thread_lanes(const float (&lanes)[kThreadLanes]) {
  const float even = (lanes[0] + lanes[4]) + (lanes[2] + lanes[6]);
  const float odd = (lanes[1] + lanes[5]) + (lanes[3] + lanes[7]);
  return even + odd;
}
// The same where each of 8 neighbours in a warp holds one lane; all threads of the warp call it.
__device__ __forceinline__ float sum_of_thread_lanes(float lane) {
#pragma unroll
  for (int step = kThreadLanes / 2; step > 0; step /= 2) lane += __shfl_xor_sync(0xffffffffu, lane, step);
  return lane;
}

}  // namespace plumbline::native::cuda
