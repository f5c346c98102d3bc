// The rotation of halves, some pairs at a time; for .cu files.
#pragma once

#include <cstdint>

#include "impl/cuda/device.cuh"
#include "impl/cuda/vectors.h"

namespace plumbline::native::cuda {

template <typename T, int kCount>
struct Pairs {
  Vector<T, kCount> first;
  Vector<T, kCount> second;  // half a head further
};

// `from`: the first pair; its partners are `half` elements behind.
template <int kCount, typename T>
__device__ __forceinline__ Pairs<T, kCount> read_pairs(const T* from, int half) {
  return {read_vector<T, kCount>(from), read_vector<T, kCount>(from + half)};
}

// x1 * cos - x2 * sin and x2 * cos + x1 * sin; each product and sum rounded to f32 once, the result to T.
template <typename T, int kCount>
__device__ __forceinline__ void rotate(Pairs<T, kCount>& x, const Pairs<float, kCount>& cos,
                                       const Pairs<float, kCount>& sin) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const float a = widen(x.first.values[i]), b = widen(x.second.values[i]);
    x.first.values[i] = narrow<T>(a * cos.first.values[i] - b * sin.first.values[i]);
    x.second.values[i] = narrow<T>(b * cos.second.values[i] + a * sin.second.values[i]);
  }
}

}  // namespace plumbline::native::cuda
