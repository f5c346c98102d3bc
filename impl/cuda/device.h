// The device that the engine runs on: number 0 of those that CUDA_VISIBLE_DEVICES lets be seen.
#pragma once

#include <cstddef>
#include <string>

namespace plumbline::native::cuda {

struct DeviceInfo {
  std::string name;             // "NVIDIA H200"
  std::string architecture;     // "90", of sm_90
  std::string capability;       // "9.0"
  std::string driver;           // the newest CUDA version it knows, "13.0"
  std::string runtime;          // this build's
  std::size_t memory = 0;       // bytes in all
  std::size_t free_memory = 0;  // bytes that nobody uses
  int multiprocessors = 0;
};

// Throws Error where there is none that can be used.
DeviceInfo device_info();

// Empty where there is a device that this build's kernels run on; otherwise what stands in the way: no
// device, a driver older than the toolkit, kernels built for other architectures.
std::string device_problem();

// cudaSuccess, or why the device cannot run this build's kernels; a cudaError_t. In a .cu file.
int check_kernels();

}  // namespace plumbline::native::cuda
