// Device memory and error checks. Free of CUDA's headers, so that any unit may include it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace plumbline::native {

// `status` is a cudaError_t. Throws Error "<call> failed: <CUDA's own text>" unless it is cudaSuccess.
void cuda_check(int status, const char* call);

// Floats in the memory of the current device.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  ~DeviceBuffer();
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  // Room for at least `count`; what was there is lost when it grows.
  void reserve(std::int64_t count);
  float* data() { return data_; }
  // Both wait until the copy is done.
  void upload(const float* host, std::int64_t count);
  void download(float* host, std::int64_t count) const;

 private:
  float* data_ = nullptr;
  std::int64_t capacity_ = 0;
};

}  // namespace plumbline::native
