// Copies and fills: which of them wait, and which are queued.
#include <cstring>

#include "tests/cuda_emulation/copy.h"

using namespace plumbline::cuda_emulation;

namespace {

bool is_pageable(const void* pointer) {
  return allocation_of(pointer, 1) == nullptr;
}

cudaError_t copy_now(const Copy& copy) {
  ++runtime().counters.synchronisations;
  drain_blocking_streams();
  const DeviceAccess access;
  if (runtime().sticky == cudaSuccess) run_copy(copy);
  return runtime().sticky;
}

// Pageable memory is staged: what is read of it is read during the call, what is written is there when it
// returns.
cudaError_t copy_pageable(CUstream_st& stream, const Copy& copy) {
  if (stream.capture != nullptr) {  // stricter than a device
    stream.capture->broken = true;
    return cudaErrorStreamCaptureUnsupported;
  }
  ++runtime().counters.synchronisations;
  if (copy.kind == cudaMemcpyHostToDevice) {
    auto staged = std::make_shared<std::vector<char>>(copy.width * copy.height);
    Copy staging{staged->data(), copy.width, copy.from, copy.from_pitch, copy.width, copy.height, copy.kind};
    staging.move();
    Copy upload = copy;
    upload.from = staged->data();
    upload.from_pitch = copy.width;
    return submit(stream, [upload, staged] { run_copy(upload); });
  }
  const cudaError_t error = submit(stream, [copy] { run_copy(copy); });
  drain(stream, ~std::uint64_t{0});
  return error == cudaSuccess ? runtime().sticky : error;
}

cudaError_t copy_async(Copy copy, cudaStream_t stream) {
  CUstream_st* known = find_stream(stream);
  if (known == nullptr) return cudaErrorInvalidResourceHandle;
  if (copy.empty()) return cudaSuccess;
  const cudaError_t refused = check_copy(&copy);
  if (refused != cudaSuccess) return refused;
  if (is_pageable(copy.to) || is_pageable(copy.from)) return copy_pageable(*known, copy);
  return submit(*known, [copy] { run_copy(copy); });
}

cudaError_t copy_blocking(Copy copy) {
  if (copy.empty()) return cudaSuccess;
  const cudaError_t refused = check_copy(&copy);
  if (refused != cudaSuccess) return refused;
  // On the device itself the host does not wait.
  if (copy.kind == cudaMemcpyDeviceToDevice) {
    return submit(runtime().default_stream, [copy] { run_copy(copy); });
  }
  return copy_now(copy);
}

cudaError_t set(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  CUstream_st* known = find_stream(stream);
  if (known == nullptr) return cudaErrorInvalidResourceHandle;
  if (bytes == 0) return cudaSuccess;
  if (allocation_of(to, bytes) == nullptr) return cudaErrorInvalidValue;
  return submit(*known, [=] {
    ++runtime().counters.memsets;
    if (allocation_of(to, bytes) == nullptr) {
      return lose_context(cudaErrorIllegalAddress, "a memset ran after its memory was freed");
    }
    std::memset(to, value, bytes);
  });
}

Copy contiguous(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return {static_cast<char*>(to), bytes, static_cast<const char*>(from), bytes, bytes, 1, kind};
}

}  // namespace

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return api(During::capture_forbidden, [&] { return copy_blocking(contiguous(to, from, bytes, kind)); });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return api(During::capture_allowed, [&] { return copy_async(contiguous(to, from, bytes, kind), stream); });
}

cudaError_t cudaMemcpy2D(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                         std::size_t width, std::size_t height, cudaMemcpyKind kind) {
  return api(During::capture_forbidden, [&] {
    return copy_blocking(
        {static_cast<char*>(to), to_pitch, static_cast<const char*>(from), from_pitch, width, height, kind});
  });
}

cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                              std::size_t width, std::size_t height, cudaMemcpyKind kind,
                              cudaStream_t stream) {
  return api(During::capture_allowed, [&] {
    return copy_async(
        {static_cast<char*>(to), to_pitch, static_cast<const char*>(from), from_pitch, width, height, kind},
        stream);
  });
}

cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  return api(During::capture_forbidden, [&] { return set(to, value, bytes, nullptr); });
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  return api(During::capture_allowed, [&] { return set(to, value, bytes, stream); });
}
