#include <cuda_runtime.h>

#include "impl/cuda/index.h"
#include "impl/cuda/memory.h"
#include "impl/cuda/residual.h"

namespace plumbline::native {
namespace {

__global__ void residual_kernel(const float* a, const float* b, std::int64_t count, float* out) {
  const std::int64_t stride = grid_stride(gridDim.x);
  for (std::int64_t i = first_element(blockIdx.x, threadIdx.x); i < count; i += stride) {
    out[i] = __fadd_rn(a[i], b[i]);
  }
}

}  // namespace

void cuda_residual(const float* a, const float* b, std::int64_t count, float* out) {
  const auto blocks = static_cast<unsigned>(grid_blocks(count));
  residual_kernel<<<blocks, static_cast<unsigned>(kBlockThreads)>>>(a, b, count, out);
  cuda_check(static_cast<int>(cudaGetLastError()), "launch of residual_kernel");
}

void cuda_check_kernels() {
  cudaFuncAttributes attributes;
  cuda_check(static_cast<int>(cudaFuncGetAttributes(&attributes, residual_kernel)),
             "cudaFuncGetAttributes(residual_kernel)");
}

}  // namespace plumbline::native
