#include <cuda_runtime.h>

#include "impl/cuda/device.h"

namespace plumbline::native::cuda {
namespace {

// Never launched: compiled for the same architectures as all others, it says whether they can be.
__global__ void architecture_check() {}

}  // namespace

int check_kernels() {
  cudaFuncAttributes attributes;
  const cudaError_t status = cudaFuncGetAttributes(&attributes, architecture_check);
  static_cast<void>(cudaGetLastError());
  return static_cast<int>(status);
}

}  // namespace plumbline::native::cuda
