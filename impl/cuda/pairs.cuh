// Ops of two elements each, side by side; for .cu files.
#pragma once

#include <cstdint>

#include "impl/cuda/device.cuh"
#include "impl/cuda/launch.h"
#include "impl/cuda/vectors.h"

namespace plumbline::native::cuda {

// out[i] = Op()(a[i], b[i]); each thread reads and writes its own elements only, so out may be a or b.
template <typename Op, typename T>
__global__ void pairs_kernel(ElementShare share, const T* a, const T* b, T* out) {
  constexpr int kCount = Packed<T>::kCount;
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * kElementThreads + threadIdx.x;
  const ElementSpan span = span_of_thread(share, kCount, thread);
  if (span.count == kCount) {
    const auto left = read_vector<T, kCount>(a + span.first);
    const auto right = read_vector<T, kCount>(b + span.first);
    Vector<T, kCount> made;
#pragma unroll
    for (int i = 0; i < kCount; ++i) made.values[i] = Op()(left.values[i], right.values[i]);
    write_vector(out + span.first, made);
  } else if (span.count == 1) {
    out[span.first] = Op()(a[span.first], b[span.first]);
  }
}

// `count` elements each, in `storage`.
template <typename Op>
void launch_pairs(const char* name, Stream stream, DType storage, const void* a, const void* b,
                  std::int64_t count, void* out) {
  if (count == 0) return;
  for_storage(storage, [&](auto element) {
    using T = decltype(element);
    const ElementShare share =
        share_elements(count, Packed<T>::kCount, aligned(a) && aligned(b) && aligned(out));
    launch(name, pairs_kernel<Op, T>, shape_of_elements(share), stream, share, static_cast<const T*>(a),
           static_cast<const T*>(b), static_cast<T*>(out));
  });
}

}  // namespace plumbline::native::cuda
