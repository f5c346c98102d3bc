#include "tests/cuda_emulation/copy.h"

namespace plumbline::cuda_emulation {
namespace {

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

}  // namespace

cudaError_t check_copy(Copy* copy) {
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

void run_copy(const Copy& copy) {
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

}  // namespace plumbline::cuda_emulation
