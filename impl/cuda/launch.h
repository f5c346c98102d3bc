// How kernels are launched; for .cu files.
#pragma once

#include <cuda_runtime.h>

#include <string>

#include "harness/error.h"
#include "impl/cuda/last_launch.h"
#include "impl/cuda/launch_shape.h"

namespace plumbline::native::cuda {

// Queues `kernel` on `stream`; the arguments are copied. Throws Error that names the kernel when the launch
// is refused. What goes wrong while it runs shows at the next synchronisation (impl/cuda/memory.h).
template <typename... Parameters, typename... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), const LaunchShape& shape, Stream stream,
            Arguments... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(shape.blocks_x), static_cast<unsigned>(shape.blocks_y),
                        static_cast<unsigned>(shape.blocks_z));
  config.blockDim = dim3(static_cast<unsigned>(shape.threads));
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream;
  require(fits(shape), std::string("cuda: no device takes the launch of ") + name);
  note_launch(name);
  const cudaError_t status = cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
  if (status == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());  // told here, and not by the next launch too
  throw Error(std::string("the launch of ") + name + " failed: " + cudaGetErrorString(status), "cuda");
}

}  // namespace plumbline::native::cuda
