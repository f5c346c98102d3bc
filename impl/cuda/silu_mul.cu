#include "impl/cuda/silu_mul.h"

#include "impl/cuda/pairs.cuh"

namespace plumbline::native::cuda {
namespace {

struct SiluMulOf {
  template <typename T>
  __device__ __forceinline__ T operator()(T gate, T up) const {
    return silu_mul_of(gate, up);
  }
};

}  // namespace

void silu_mul(Stream stream, DType storage, const void* gate, const void* up, std::int64_t count, void* out) {
  launch_pairs<SiluMulOf>("silu_mul", stream, storage, gate, up, count, out);
}

}  // namespace plumbline::native::cuda
