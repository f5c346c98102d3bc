#include "impl/cuda/residual.h"

#include "impl/cuda/pairs.cuh"

namespace plumbline::native::cuda {
namespace {

struct ResidualOf {
  template <typename T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return residual_of(a, b);
  }
};

}  // namespace

void residual(Stream stream, DType storage, const void* a, const void* b, std::int64_t count, void* out) {
  launch_pairs<ResidualOf>("residual", stream, storage, a, b, count, out);
}

}  // namespace plumbline::native::cuda
