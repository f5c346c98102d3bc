#include "impl/cuda/silu_mul.h"

#include "impl/cuda/device.cuh"
#include "impl/cuda/launch.h"
#include "impl/cuda/vectors.h"

namespace plumbline::native::cuda {
namespace {

template <typename T>
__global__ void silu_mul_kernel(ElementShare share, const T* gate, const T* up, T* out) {
  constexpr int kCount = Packed<T>::kCount;
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * kElementThreads + threadIdx.x;
  const ElementSpan span = span_of_thread(share, kCount, thread);
  if (span.count == kCount) {
    const auto gates = read_vector<T, kCount>(gate + span.first);
    const auto ups = read_vector<T, kCount>(up + span.first);
    Vector<T, kCount> product;
#pragma unroll
    for (int i = 0; i < kCount; ++i) product.values[i] = silu_mul_of(gates.values[i], ups.values[i]);
    write_vector(out + span.first, product);
  } else if (span.count == 1) {
    out[span.first] = silu_mul_of(gate[span.first], up[span.first]);
  }
}

}  // namespace

void silu_mul(Stream stream, DType storage, const void* gate, const void* up, std::int64_t count, void* out) {
  if (count == 0) return;
  for_storage(storage, [&](auto element) {
    using T = decltype(element);
    const ElementShare share =
        share_elements(count, Packed<T>::kCount, aligned(gate) && aligned(up) && aligned(out));
    launch("silu_mul", silu_mul_kernel<T>, shape_of_elements(share), stream, share,
           static_cast<const T*>(gate), static_cast<const T*>(up), static_cast<T*>(out));
  });
}

}  // namespace plumbline::native::cuda
