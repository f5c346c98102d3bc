// Memory of the device and pinned memory of the host: real blocks, so that sanitizers see what goes beyond
// them.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "tests/cuda_emulation/runtime.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace plumbline::cuda_emulation {
namespace {

constexpr std::size_t kAlignment = 256;

void close([[maybe_unused]] const void* start, [[maybe_unused]] std::size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_poison_memory_region(start, bytes);
#endif
}
void open([[maybe_unused]] const void* start, [[maybe_unused]] std::size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(start, bytes);
#endif
}

void for_device_memory(void (*act)(const void* start, std::size_t bytes)) {
#if defined(__SANITIZE_ADDRESS__)
  for (const auto& [start, allocation] : runtime().memory) {
    if (allocation.on_device) act(reinterpret_cast<const void*>(start), allocation.bytes);
  }
#else
  static_cast<void>(act);
#endif
}

cudaError_t allocate(void** pointer, std::size_t bytes, bool on_device) {
  if (pointer == nullptr) return cudaErrorInvalidValue;
  *pointer = nullptr;
  if (bytes == 0) return cudaSuccess;
  Runtime& all = runtime();
  if (on_device && bytes > settings().device_memory - std::min(settings().device_memory, all.device_bytes)) {
    return cudaErrorMemoryAllocation;
  }
  if (posix_memalign(pointer, kAlignment, bytes) != 0) return cudaErrorMemoryAllocation;
  std::memset(*pointer, 0xFF, bytes);  // NaN in every format of floats
  all.memory[reinterpret_cast<std::uintptr_t>(*pointer)] = {bytes, on_device};
  if (on_device) all.device_bytes += bytes;
  if (on_device && all.device_accesses == 0) close(*pointer, bytes);
  ++(on_device ? all.counters.device_allocations : all.counters.pinned_allocations);
  return cudaSuccess;
}

cudaError_t release(void* pointer, bool on_device) {
  if (pointer == nullptr) return cudaSuccess;
  Runtime& all = runtime();
  const auto at = all.memory.find(reinterpret_cast<std::uintptr_t>(pointer));
  if (at == all.memory.end() || at->second.on_device != on_device) return cudaErrorInvalidValue;
  const cudaError_t refused = break_capture();
  if (refused != cudaSuccess) return refused;
  ++all.counters.synchronisations;
  drain_all();
  open(pointer, at->second.bytes);
  std::memset(pointer, 0xFF, at->second.bytes);
  if (on_device) all.device_bytes -= at->second.bytes;
  if (on_device) ++all.counters.device_frees;
  all.memory.erase(at);
  std::free(pointer);
  return all.sticky;
}

}  // namespace

void free_all_memory() {
  Runtime& all = runtime();
  for_device_memory(open);
  for (const auto& [address, allocation] : all.memory) std::free(reinterpret_cast<void*>(address));
  all.memory.clear();
  all.device_bytes = 0;
}

DeviceAccess::DeviceAccess() {
  if (runtime().device_accesses++ == 0) for_device_memory(open);
}

DeviceAccess::~DeviceAccess() {
  if (--runtime().device_accesses == 0) for_device_memory(close);
}

const Allocation* allocation_of(const void* pointer, std::size_t bytes) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  const auto after = runtime().memory.upper_bound(address);
  if (after == runtime().memory.begin()) return nullptr;
  const auto& [start, allocation] = *std::prev(after);
  const std::uintptr_t offset = address - start;
  const bool inside = offset <= allocation.bytes && bytes <= allocation.bytes - offset;
  return inside ? &allocation : nullptr;
}

}  // namespace plumbline::cuda_emulation

using namespace plumbline::cuda_emulation;

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  return api(During::capture_forbidden, [&] { return allocate(pointer, bytes, true); });
}

cudaError_t cudaFree(void* pointer) {
  return api(During::release, [&] { return release(pointer, true); });
}

cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  return cudaHostAlloc(pointer, bytes, cudaHostAllocDefault);
}

cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned) {
  return api(During::capture_forbidden, [&] { return allocate(pointer, bytes, false); });
}

cudaError_t cudaFreeHost(void* pointer) {
  return api(During::release, [&] { return release(pointer, false); });
}

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total) {
  return api(During::capture_allowed, [&] {
    if (free_bytes == nullptr || total == nullptr) return cudaErrorInvalidValue;
    *total = settings().device_memory;
    *free_bytes = *total - std::min(*total, runtime().device_bytes);
    return cudaSuccess;
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  return api(During::capture_allowed, [&] {
    if (attributes == nullptr) return cudaErrorInvalidValue;
    const Allocation* allocation = allocation_of(pointer, 1);
    void* address = const_cast<void*>(pointer);
    *attributes = {cudaMemoryTypeUnregistered, 0, nullptr, address};
    if (allocation == nullptr) return cudaSuccess;
    attributes->type = allocation->on_device ? cudaMemoryTypeDevice : cudaMemoryTypeHost;
    attributes->devicePointer = address;
    attributes->hostPointer = allocation->on_device ? nullptr : address;
    return cudaSuccess;
  });
}
