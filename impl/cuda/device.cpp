#include "impl/cuda/device.h"

#include <cuda_runtime_api.h>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/cuda/memory.h"

namespace plumbline::native::cuda {
namespace {

constexpr int kDevice = 0;

// CUDA counts versions as 1000 * major + 10 * minor.
std::string version_name(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

int driver_version() {
  int version = 0;
  check(cudaDriverGetVersion(&version), "cudaDriverGetVersion");
  return version;
}

cudaDeviceProp properties() {
  cudaDeviceProp found;
  check(cudaGetDeviceProperties(&found, kDevice), "cudaGetDeviceProperties");
  return found;
}

std::string count_problem(cudaError_t status, int devices) {
  if (status == cudaErrorInsufficientDriver) {
    const int version = driver_version();
    if (version == 0) return "there is no NVIDIA driver";
    return fmt::format("the driver is for CUDA {}, this build needs {}: update the driver",
                       version_name(version), version_name(CUDART_VERSION));
  }
  if (status == cudaErrorNoDevice || (status == cudaSuccess && devices == 0)) {
    return "no CUDA device is there";
  }
  return status == cudaSuccess ? std::string() : std::string(cudaGetErrorString(status));
}

std::string kernel_problem() {
  const auto status = static_cast<cudaError_t>(check_kernels());
  if (status == cudaSuccess) return {};
  if (status != cudaErrorNoKernelImageForDevice && status != cudaErrorInvalidDeviceFunction) {
    return cudaGetErrorString(status);
  }
  const cudaDeviceProp device = properties();
  return fmt::format(
      "{} has compute capability {}.{}, for which this build has no kernels: configure with "
      "-DCMAKE_CUDA_ARCHITECTURES={}{}",
      device.name, device.major, device.minor, device.major, device.minor);
}

}  // namespace

std::string device_problem() {
  try {
    int devices = 0;
    const cudaError_t status = cudaGetDeviceCount(&devices);
    static_cast<void>(cudaGetLastError());
    if (std::string problem = count_problem(status, devices); !problem.empty()) return problem;
    check(cudaSetDevice(kDevice), "cudaSetDevice");
    return kernel_problem();
  } catch (const Error& problem) {
    return problem.what();
  }
}

DeviceInfo device_info() {
  if (const std::string problem = device_problem(); !problem.empty()) {
    throw Error("no usable CUDA device: " + problem, "cuda engine");
  }
  const cudaDeviceProp found = properties();
  DeviceInfo info;
  info.name = found.name;
  info.architecture = fmt::format("{}{}", found.major, found.minor);
  info.capability = fmt::format("{}.{}", found.major, found.minor);
  info.driver = version_name(driver_version());
  info.runtime = version_name(CUDART_VERSION);
  info.memory = found.totalGlobalMem;
  info.free_memory = free_memory();
  info.multiprocessors = found.multiProcessorCount;
  return info;
}

}  // namespace plumbline::native::cuda
