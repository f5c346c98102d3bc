// Values of 64 keys into shared memory as tensor cores take them: by fours of keys; for .cu files.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>

#include "impl/cuda/attention/mma.cuh"
#include "impl/cuda/feature_group.h"

namespace plumbline::native::cuda {

inline constexpr int kChunkFeatures = 2 * kMmaColumns;  // that two mma share out
inline constexpr int kLaneFeatures = 4;  // of them in a lane's d: 4t, ..., 4t + 3, the even ones in the first

// Eight features of four keys.
struct ValuesOfQuad {
  Words keys[4];
};
// Which: two neighbouring groups of all fours, then the next two. So 8 lanes that store meet in pairs only.
struct QuadPlace {
  int quad, feature;
};
__device__ __forceinline__ QuadPlace quad_place(int item) {
  return {item / 2 % kMmaQuads, (item / (2 * kMmaQuads) * 2 + item % 2) * kGroupFeatures};
}

// Zeros for rows that are null.
template <bool kTogether>
__device__ __forceinline__ ValuesOfQuad read_quad(const Bf16* const* rows, QuadPlace place) {
  ValuesOfQuad held{};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const Bf16* row = rows[place.quad * 4 + i];
    if (row == nullptr) continue;
    const FeatureGroup<Bf16> group = load_group(row + place.feature, kGroupFeatures, kTogether);
    memcpy(&held.keys[i], &group, sizeof group);
  }
  return held;
}

// Puts 0 for what is no finite number, and sets the bit of its key.
__device__ __forceinline__ void clean(ValuesOfQuad& held, int quad, std::uint32_t* flags) {
  std::uint32_t any = 0;
#pragma unroll
  for (int i = 0; i < 16; ++i) any |= not_finite(held.keys[i / 4].words[i % 4]);
  if (any == 0) return;
#pragma unroll
  for (int i = 0; i < 16; ++i) {
    std::uint32_t& pair = held.keys[i / 4].words[i % 4];
    const std::uint32_t bad = not_finite(pair);
    if (bad == 0) continue;
    if ((bad & 0x8000u) != 0) pair &= 0xffff0000u;
    if ((bad & 0x80000000u) != 0) pair &= 0x0000ffffu;
    const int key = quad * 4 + i / 4;
    atomicOr(flags + key / 32, 1u << key % 32);
  }
}

// Turned around: for each feature its four keys.
__device__ __forceinline__ void put_quad(const ValuesOfQuad& held, std::uint32_t* to) {
#pragma unroll
  for (int pair = 0; pair < 4; ++pair) {
    const std::uint32_t a = held.keys[0].words[pair], b = held.keys[1].words[pair];
    const std::uint32_t c = held.keys[2].words[pair], d = held.keys[3].words[pair];
    const Words words{{(a & 0xffffu) | b << 16, (c & 0xffffu) | d << 16, a >> 16 | (b & 0xffff0000u),
                       c >> 16 | (d & 0xffff0000u)}};
    *reinterpret_cast<Words*>(to + pair * 4) = words;
  }
}

// All of the block's values. Two items of a thread are on their way before the first is used. flags: [2],
// zeros.
template <bool kTogether>
__device__ __forceinline__ void stage_quads(const Bf16* const* rows, int head_dim, int width,
                                            std::uint32_t* quads, std::uint32_t* flags) {
  constexpr int kAtOnce = 2;
  const int items = kMmaQuads * head_dim / kGroupFeatures, threads = static_cast<int>(blockDim.x);
#pragma unroll 1
  for (int first = static_cast<int>(threadIdx.x); first < items; first += kAtOnce * threads) {
    ValuesOfQuad held[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int item = first + i * threads;
      held[i] = item < items ? read_quad<kTogether>(rows, quad_place(item)) : ValuesOfQuad{};
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int item = first + i * threads;
      if (item >= items) break;
      const QuadPlace place = quad_place(item);
      clean(held[i], place.quad, flags);
      put_quad(held[i], quads + place.quad * width + place.feature * 2);
    }
  }
}

}  // namespace plumbline::native::cuda
