// The one device: what it says of itself, and what it lets a kernel have.
#include <algorithm>
#include <cstring>

#include "tests/cuda_emulation/runtime.h"

using namespace plumbline::cuda_emulation;

namespace {

constexpr std::size_t kShared = 48 * 1024;
constexpr int kL2Bytes = 50 * 1024 * 1024;
constexpr int kThreadsOfMultiprocessor = 2048;

int shared_optin() {
  return static_cast<int>(settings().shared_optin);
}

cudaDeviceProp properties_of_device() {
  const Settings& now = settings();
  cudaDeviceProp p{};
  std::strcpy(p.name, "emulated on the host");
  p.totalGlobalMem = now.device_memory;
  p.sharedMemPerBlock = kShared;
  p.sharedMemPerBlockOptin = now.shared_optin;
  p.sharedMemPerMultiprocessor = now.shared_optin + 1024;
  p.regsPerBlock = 65536;
  p.warpSize = 32;
  p.maxThreadsPerBlock = 1024;
  const int threads[3] = {1024, 1024, 64}, grid[3] = {0x7fffffff, 65535, 65535};
  std::copy(threads, threads + 3, p.maxThreadsDim);
  std::copy(grid, grid + 3, p.maxGridSize);
  p.major = now.compute_major;
  p.minor = now.compute_minor;
  p.multiProcessorCount = now.multiprocessors;
  p.l2CacheSize = kL2Bytes;
  p.maxThreadsPerMultiProcessor = kThreadsOfMultiprocessor;
  return p;
}

cudaError_t attribute_of(const cudaDeviceProp& p, cudaDeviceAttr attribute, int* value) {
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = p.maxThreadsPerBlock;
      break;
    case cudaDevAttrMaxBlockDimX:
    case cudaDevAttrMaxBlockDimY:
    case cudaDevAttrMaxBlockDimZ:
      *value = p.maxThreadsDim[attribute - cudaDevAttrMaxBlockDimX];
      break;
    case cudaDevAttrMaxGridDimX:
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ:
      *value = p.maxGridSize[attribute - cudaDevAttrMaxGridDimX];
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(p.sharedMemPerBlock);
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(p.sharedMemPerBlockOptin);
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = static_cast<int>(p.sharedMemPerMultiprocessor);
      break;
    case cudaDevAttrWarpSize:
      *value = p.warpSize;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = p.multiProcessorCount;
      break;
    case cudaDevAttrL2CacheSize:
      *value = p.l2CacheSize;
      break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = p.maxThreadsPerMultiProcessor;
      break;
    case cudaDevAttrCooperativeLaunch:
      *value = settings().cooperative_launch ? 1 : 0;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = p.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = p.minor;
      break;
    default:
      return cudaErrorInvalidValue;
  }
  return cudaSuccess;
}

cudaError_t check_device(int device) {
  return device >= 0 && device < settings().device_count ? cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t check_kernel(const void* kernel) {
  if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
  return settings().compute_major < 8 ? cudaErrorNoKernelImageForDevice : cudaSuccess;
}

}  // namespace

cudaError_t cudaDriverGetVersion(int* version) {
  if (version == nullptr) return remember(cudaErrorInvalidValue);
  *version = settings().driver_version;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  if (version == nullptr) return remember(cudaErrorInvalidValue);
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  if (count != nullptr) *count = 0;
  return api(During::capture_allowed, [&] {
    if (count == nullptr) return cudaErrorInvalidValue;
    *count = settings().device_count;
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int device) {
  return api(During::capture_allowed, [&] { return check_device(device); });
}

cudaError_t cudaGetDevice(int* device) {
  return api(During::capture_allowed, [&] {
    if (device == nullptr) return cudaErrorInvalidValue;
    *device = 0;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return api(During::capture_allowed, [&] {
    if (properties == nullptr) return cudaErrorInvalidValue;
    *properties = properties_of_device();
    return check_device(device);
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return api(During::capture_allowed, [&] {
    if (value == nullptr) return cudaErrorInvalidValue;
    const cudaError_t refused = check_device(device);
    return refused != cudaSuccess ? refused : attribute_of(properties_of_device(), attribute, value);
  });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel) {
  return api(During::capture_allowed, [&] {
    const cudaError_t refused = attributes == nullptr ? cudaErrorInvalidValue : check_kernel(kernel);
    if (refused != cudaSuccess) return refused;
    *attributes = {};
    attributes->maxThreadsPerBlock = 1024;
    attributes->binaryVersion = settings().compute_major * 10 + settings().compute_minor;
    attributes->ptxVersion = attributes->binaryVersion;
    attributes->maxDynamicSharedSizeBytes = static_cast<int>(most_dynamic_shared(kernel));
    return cudaSuccess;
  });
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  return api(During::capture_allowed, [&] {
    const cudaError_t refused = check_kernel(kernel);
    if (refused != cudaSuccess) return refused;
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaErrorInvalidValue;
    if (value < 0 || value > shared_optin()) return cudaErrorInvalidValue;
    runtime().dynamic_shared[kernel] = value;
    return cudaSuccess;
  });
}
