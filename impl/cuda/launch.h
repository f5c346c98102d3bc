// How kernels are launched; for .cu files.
#pragma once

#include <cuda_runtime.h>

#include <string>

#include "harness/error.h"
#include "impl/cuda/last_launch.h"
#include "impl/cuda/launch_shape.h"

namespace plumbline::native::cuda {

inline cudaLaunchConfig_t launch_config(const LaunchShape& shape, Stream stream) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(shape.blocks_x), static_cast<unsigned>(shape.blocks_y),
                        static_cast<unsigned>(shape.blocks_z));
  config.blockDim = dim3(static_cast<unsigned>(shape.threads));
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream;
  return config;
}

// Throws Error when `status`, that of `what`, is not success.
inline void require_launched(cudaError_t status, const char* what, const char* name) {
  if (status == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());  // told here, and not by the next launch too
  throw Error(std::string(what) + " of " + name + " failed: " + cudaGetErrorString(status), "cuda");
}

// Queues `kernel` on `stream`; the arguments are copied. Throws Error that names the kernel when the launch
// is refused. What goes wrong while it runs shows at the next synchronisation (impl/cuda/memory.h).
template <typename... Parameters, typename... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), const LaunchShape& shape, Stream stream,
            Arguments... arguments) {
  const cudaLaunchConfig_t config = launch_config(shape, stream);
  require(fits(shape), std::string("cuda: no device takes the launch of ") + name);
  note_launch(name);
  require_launched(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), "the launch",
                   name);
}

// The same as a cooperative launch: all blocks live at once, and may wait for each other by
// cooperative_groups::this_grid(). Refused where they are more than blocks_at_once(). Shared memory beyond
// kSharedBytes is legal when that asked for it.
template <typename... Parameters, typename... Arguments>
void launch_cooperative(const char* name, void (*kernel)(Parameters...), const LaunchShape& shape,
                        Stream stream, Arguments... arguments) {
  LaunchShape without_shared = shape;
  without_shared.shared_bytes = 0;
  require(fits(without_shared), std::string("cuda: no device takes the launch of ") + name);
  cudaLaunchAttribute cooperative{};
  cooperative.id = cudaLaunchAttributeCooperative;
  cooperative.val.cooperative = 1;
  cudaLaunchConfig_t config = launch_config(shape, stream);
  config.attrs = &cooperative;
  config.numAttrs = 1;
  note_launch(name);
  require_launched(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), "the launch",
                   name);
}

// How many blocks of `threads` threads and `shared_bytes` of dynamic shared memory a cooperative launch of
// `kernel` may have on the present device; 0 where it has no cooperative launches or too little shared
// memory. Allows the kernel that much of it, also beyond kSharedBytes. Throws Error when a call fails.
template <typename... Parameters>
std::int64_t blocks_at_once(const char* name, void (*kernel)(Parameters...), int threads,
                            std::size_t shared_bytes) {
  const auto attribute = [&](cudaDeviceAttr which) {
    int device = 0, value = 0;
    require_launched(cudaGetDevice(&device), "the device", name);
    require_launched(cudaDeviceGetAttribute(&value, which, device), "the device", name);
    return value;
  };
  if (attribute(cudaDevAttrCooperativeLaunch) == 0) return 0;
  const auto most_shared = static_cast<std::size_t>(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin));
  if (shared_bytes > most_shared) return 0;
  if (shared_bytes > kSharedBytes) {
    require_launched(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                          static_cast<int>(shared_bytes)),
                     "the shared memory", name);
  }
  int of_each = 0;
  require_launched(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&of_each, kernel, threads, shared_bytes),
                   "the occupancy", name);
  return std::int64_t{of_each} * attribute(cudaDevAttrMultiProcessorCount);
}

}  // namespace plumbline::native::cuda
