// Copies and fills. What lies where is checked, as far as a device's driver knows it: device memory and
// pinned memory.
#include <algorithm>
#include <cstring>

#include "tests/cuda_emulation/runtime.h"

using namespace plumbline::cuda_emulation;

namespace {

// `height` rows of `width` bytes. Pitches in bytes.
struct Copy {
  char* to;
  std::size_t to_pitch;
  const char* from;
  std::size_t from_pitch;
  std::size_t width, height;
  cudaMemcpyKind kind;

  bool empty() const { return width == 0 || height == 0; }
  std::size_t to_bytes() const { return (height - 1) * to_pitch + width; }
  std::size_t from_bytes() const { return (height - 1) * from_pitch + width; }
  void move() const {
    for (std::size_t row = 0; row < height; ++row)
      std::memmove(to + row * to_pitch, from + row * from_pitch, width);
  }
};

bool on_device(const void* pointer) {
  const Allocation* found = allocation_of(pointer, 1);
  return found != nullptr && found->on_device;
}

cudaMemcpyKind actual_kind(const Copy& copy) {
  if (on_device(copy.to)) return on_device(copy.from) ? cudaMemcpyDeviceToDevice : cudaMemcpyHostToDevice;
  return on_device(copy.from) ? cudaMemcpyDeviceToHost : cudaMemcpyHostToHost;
}

// Whether the bytes lie in one block, or outside of all that the runtime knows.
bool is_whole(const void* pointer, std::size_t bytes) {
  return allocation_of(pointer, 1) == nullptr || allocation_of(pointer, bytes) != nullptr;
}

bool overlaps(const Copy& copy) {
  if (copy.to + copy.to_bytes() <= copy.from || copy.from + copy.from_bytes() <= copy.to) return false;
  if (copy.height == 1) return true;
  for (std::size_t i = 0; i < copy.height; ++i) {
    for (std::size_t j = 0; j < copy.height; ++j) {
      const char* to = copy.to + i * copy.to_pitch;
      const char* from = copy.from + j * copy.from_pitch;
      if (to < from + copy.width && from < to + copy.width) return true;
    }
  }
  return false;
}

cudaError_t check(Copy* copy) {
  if (copy->to == nullptr || copy->from == nullptr) return cudaErrorInvalidValue;
  if (copy->height > 1 && (copy->to_pitch < copy->width || copy->from_pitch < copy->width)) {
    return cudaErrorInvalidPitchValue;
  }
  const cudaMemcpyKind actual = actual_kind(*copy);
  if (copy->kind != cudaMemcpyDefault && copy->kind != actual) return cudaErrorInvalidValue;
  copy->kind = actual;
  const bool whole = is_whole(copy->to, copy->to_bytes()) && is_whole(copy->from, copy->from_bytes());
  return whole ? cudaSuccess : cudaErrorInvalidValue;
}

void run(const Copy& copy) {
  Counters& counts = runtime().counters;
  const auto bytes = static_cast<std::int64_t>(copy.width * copy.height);
  // The blocks may have gone since the call.
  if (!is_whole(copy.to, copy.to_bytes()) || !is_whole(copy.from, copy.from_bytes())) {
    return lose_context(cudaErrorIllegalAddress, "a copy ran after its memory was freed");
  }
  switch (copy.kind) {
    case cudaMemcpyHostToDevice:
      ++counts.copies_to_device;
      counts.bytes_to_device += bytes;
      break;
    case cudaMemcpyDeviceToHost:
      ++counts.copies_to_host;
      counts.bytes_to_host += bytes;
      break;
    case cudaMemcpyDeviceToDevice:
      ++counts.copies_on_device;
      counts.bytes_on_device += bytes;
      if (overlaps(copy))
        return lose_context(cudaErrorIllegalAddress, "a copy on the device overlaps itself");
      break;
    default:
      break;
  }
  copy.move();
}

bool is_pageable(const void* pointer) {
  return allocation_of(pointer, 1) == nullptr;
}

cudaError_t copy_now(const Copy& copy) {
  ++runtime().counters.synchronisations;
  drain_blocking_streams();
  const DeviceAccess access;
  if (runtime().sticky == cudaSuccess) run(copy);
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
    return submit(stream, [upload, staged] { run(upload); });
  }
  const cudaError_t error = submit(stream, [copy] { run(copy); });
  drain(stream, ~std::uint64_t{0});
  return error == cudaSuccess ? runtime().sticky : error;
}

cudaError_t copy_async(Copy copy, cudaStream_t stream) {
  CUstream_st* known = find_stream(stream);
  if (known == nullptr) return cudaErrorInvalidResourceHandle;
  if (copy.empty()) return cudaSuccess;
  const cudaError_t refused = check(&copy);
  if (refused != cudaSuccess) return refused;
  if (is_pageable(copy.to) || is_pageable(copy.from)) return copy_pageable(*known, copy);
  return submit(*known, [copy] { run(copy); });
}

cudaError_t copy_blocking(Copy copy) {
  if (copy.empty()) return cudaSuccess;
  const cudaError_t refused = check(&copy);
  if (refused != cudaSuccess) return refused;
  // On the device itself the host does not wait.
  if (copy.kind == cudaMemcpyDeviceToDevice) {
    return submit(runtime().default_stream, [copy] { run(copy); });
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
