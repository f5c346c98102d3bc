#include "impl/cuda/memory.h"

#include <cuda_runtime_api.h>

#include <string>

#include "harness/error.h"

namespace plumbline::native {

void cuda_check(int status, const char* call) {
  if (status == static_cast<int>(cudaSuccess)) return;
  const auto error = static_cast<cudaError_t>(status);
  throw Error(std::string(call) + " failed: " + cudaGetErrorString(error), "cuda");
}

DeviceBuffer::~DeviceBuffer() {
  // Nobody is left to tell: a failure here is one that an earlier call has reported already.
  if (data_ != nullptr) static_cast<void>(cudaFree(data_));
}

void DeviceBuffer::reserve(std::int64_t count) {
  if (count <= capacity_) return;
  void* grown = nullptr;
  cuda_check(cudaMalloc(&grown, static_cast<std::size_t>(count) * sizeof(float)), "cudaMalloc");
  float* old = data_;
  data_ = static_cast<float*>(grown);
  capacity_ = count;
  if (old != nullptr) cuda_check(cudaFree(old), "cudaFree");
}

void DeviceBuffer::upload(const float* host, std::int64_t count) {
  reserve(count);
  cuda_check(cudaMemcpy(data_, host, static_cast<std::size_t>(count) * sizeof(float), cudaMemcpyHostToDevice),
             "cudaMemcpy to the device");
}

void DeviceBuffer::download(float* host, std::int64_t count) const {
  require(count <= capacity_, "DeviceBuffer::download: more than there is");
  cuda_check(cudaMemcpy(host, data_, static_cast<std::size_t>(count) * sizeof(float), cudaMemcpyDeviceToHost),
             "cudaMemcpy from the device");
}

}  // namespace plumbline::native
