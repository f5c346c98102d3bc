// Memory of the device and of its copies, its stream, and error checks. Free of CUDA's headers, so that any
// unit may include it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "impl/cuda/launch_shape.h"

namespace plumbline::native::cuda {

// `status` is a cudaError_t. Throws Error "<call> failed: <CUDA's own text>" unless it is cudaSuccess.
void check(int status, const char* call);

// The engine's one stream: all copies and kernels go there, in order.
class StreamOwner {
 public:
  StreamOwner();
  ~StreamOwner();
  StreamOwner(const StreamOwner&) = delete;
  StreamOwner& operator=(const StreamOwner&) = delete;
  Stream get() const { return stream_; }

 private:
  Stream stream_ = nullptr;
};

// Waits until everything queued is done. Throws Error that names the kernel launched last when something went
// wrong on the device since the last wait: that one or one before it.
void wait(Stream stream);

// Memory of the device that grows and never shrinks.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  ~DeviceBuffer();
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  // Room for at least `bytes`; what was there is lost when it grows, and it then has another address: true.
  // Throws Error that says how much is needed, and for what, and how much is free.
  bool reserve(std::size_t bytes, std::string_view what);
  void* data() const { return data_; }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// Memory of the host that the device copies from without waiting for anybody. Grows like a DeviceBuffer.
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  ~PinnedBuffer();
  PinnedBuffer(const PinnedBuffer&) = delete;
  PinnedBuffer& operator=(const PinnedBuffer&) = delete;

  void reserve(std::size_t bytes);
  std::byte* data() const { return data_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// Waits. `to` and `from` as their names say.
void copy_to_host(Stream stream, void* to, const void* from, std::size_t bytes);
void copy_to_device(Stream stream, void* to, const void* from, std::size_t bytes);

// Bytes of the device that nobody uses.
std::size_t free_memory();

}  // namespace plumbline::native::cuda
