#include "impl/cuda/residual.h"

#include "impl/cuda/device.cuh"
#include "impl/cuda/launch.h"
#include "impl/cuda/vectors.h"

namespace plumbline::native::cuda {
namespace {

template <typename T>
__global__ void residual_kernel(ElementShare share, const T* a, const T* b, T* out) {
  constexpr int kCount = Packed<T>::kCount;
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * kElementThreads + threadIdx.x;
  const ElementSpan span = span_of_thread(share, kCount, thread);
  if (span.count == kCount) {
    const auto left = read_vector<T, kCount>(a + span.first);
    const auto right = read_vector<T, kCount>(b + span.first);
    Vector<T, kCount> sum;
#pragma unroll
    for (int i = 0; i < kCount; ++i) sum.values[i] = residual_of(left.values[i], right.values[i]);
    write_vector(out + span.first, sum);
  } else if (span.count == 1) {
    out[span.first] = residual_of(a[span.first], b[span.first]);
  }
}

}  // namespace

void residual(Stream stream, DType storage, const void* a, const void* b, std::int64_t count, void* out) {
  if (count == 0) return;
  for_storage(storage, [&](auto element) {
    using T = decltype(element);
    const ElementShare share =
        share_elements(count, Packed<T>::kCount, aligned(a) && aligned(b) && aligned(out));
    launch("residual", residual_kernel<T>, shape_of_elements(share), stream, share, static_cast<const T*>(a),
           static_cast<const T*>(b), static_cast<T*>(out));
  });
}

}  // namespace plumbline::native::cuda
