// Launches: the limits that a device has, then block after block.
#include <algorithm>
#include <cstring>

#include "tests/cuda_emulation/block.h"
#include "tests/cuda_emulation/runtime.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace plumbline::native::cuda {
unsigned char plumbline_shared_memory[256 * 1024] __attribute__((aligned(128)));
}

namespace plumbline::cuda_emulation {
namespace {

using native::cuda::plumbline_shared_memory;

constexpr std::size_t kSharedBytes = sizeof(plumbline_shared_memory);
constexpr std::size_t kSharedWithoutOptIn = 48 * 1024;
constexpr std::size_t kWatched = 1024;  // bytes beyond a block's own that are looked at after each block

bool shape_is_legal(const cudaLaunchConfig_t& c) {
  const dim3 block = c.blockDim, grid = c.gridDim;
  if (block.x == 0 || block.y == 0 || block.z == 0 || grid.x == 0 || grid.y == 0 || grid.z == 0) return false;
  if (block.x > 1024 || block.y > 1024 || block.z > 64) return false;
  if (std::uint64_t{block.x} * block.y * block.z > 1024) return false;
  return grid.x <= 0x7fffffffu && grid.y <= 65535 && grid.z <= 65535;
}

cudaError_t check(const cudaLaunchConfig_t& c, const void* function) {
  if (settings().compute_major < 8) return cudaErrorNoKernelImageForDevice;
  if (function == nullptr) return cudaErrorInvalidDeviceFunction;
  if (!shape_is_legal(c)) return cudaErrorInvalidConfiguration;
  const auto allowed = runtime().dynamic_shared.find(function);
  const std::size_t limit = allowed == runtime().dynamic_shared.end()
                                ? kSharedWithoutOptIn
                                : static_cast<std::size_t>(allowed->second);
  if (c.dynamicSmemBytes > std::min(limit, kSharedBytes)) return cudaErrorInvalidValue;
  for (unsigned i = 0; i < c.numAttrs; ++i) {
    if (c.attrs[i].id == cudaLaunchAttributeCooperative) return cudaErrorNotSupported;
  }
  return cudaSuccess;
}

// 0xFF bytes are NaN in every format of floats. Beyond the block's own bytes nothing else may ever stand.
bool is_untouched(std::size_t from, std::size_t to) {
  const unsigned char* bytes = plumbline_shared_memory;
  return from >= to ||
         (bytes[from] == 0xFF && std::memcmp(bytes + from, bytes + from + 1, to - from - 1) == 0);
}

void poison(std::size_t bytes, bool on) {
#if defined(__SANITIZE_ADDRESS__)
  if (on) __asan_poison_memory_region(plumbline_shared_memory + bytes, kSharedBytes - bytes);
  if (!on) __asan_unpoison_memory_region(plumbline_shared_memory, kSharedBytes);
#else
  static_cast<void>(bytes);
  static_cast<void>(on);
#endif
}

std::string place(uint3 at) {
  return "(" + std::to_string(at.x) + "," + std::to_string(at.y) + "," + std::to_string(at.z) + ")";
}

void fail(const KernelCall& call, const std::string& what) {
  lose_context(cudaErrorLaunchFailure, "kernel " + function_name(call.function) + ": " + what);
}

bool arguments_are_reachable(const KernelCall& call) {
  for (const void* pointer : call.pointers) {
    if (allocation_of(pointer, 0) != nullptr) continue;
    lose_context(cudaErrorIllegalAddress, "kernel " + function_name(call.function) +
                                              ": an argument is a pointer to memory of the host");
    return false;
  }
  return true;
}

bool run_block(const cudaLaunchConfig_t& c, const KernelCall& call, std::uint64_t number) {
  std::memset(plumbline_shared_memory, 0xFF, c.dynamicSmemBytes);
  poison(c.dynamicSmemBytes, true);
  ++runtime().counters.blocks_run;
  const bool ended = block().run(call.thread, c.blockDim, number);
  poison(0, false);
  if (!ended) {
    fail(call, "block " + place(blockIdx) + ": " + block().failure());
  } else if (!is_untouched(c.dynamicSmemBytes, std::min(c.dynamicSmemBytes + kWatched, kSharedBytes))) {
    fail(call, "block " + place(blockIdx) + " wrote beyond its " + std::to_string(c.dynamicSmemBytes) +
                   " bytes of shared memory");
  }
  return runtime().sticky == cudaSuccess;
}

}  // namespace

void run_kernel(const cudaLaunchConfig_t& c, const KernelCall& call) {
  ++runtime().counters.kernels_run;
  const std::string& to_fail = settings().fail_kernel;
  if (!to_fail.empty() && function_name(call.function).find(to_fail) != std::string::npos) {
    return fail(call, "failed as settings().fail_kernel asks");
  }
  if (!arguments_are_reachable(call)) return;
  static const void* const filled = std::memset(plumbline_shared_memory, 0xFF, kSharedBytes);
  static_cast<void>(filled);
  gridDim = c.gridDim;
  blockDim = c.blockDim;
  const std::uint64_t layer = std::uint64_t{gridDim.x} * gridDim.y;
  const std::uint64_t count = layer * gridDim.z;
  for (std::uint64_t index = 0; index < count; ++index) {
    const std::uint64_t at = block_at(index, count);
    blockIdx = {static_cast<unsigned>(at % gridDim.x), static_cast<unsigned>(at % layer / gridDim.x),
                static_cast<unsigned>(at / layer)};
    if (!run_block(c, call, at)) break;
  }
  if (runtime().sticky == cudaSuccess && !is_untouched(c.dynamicSmemBytes, kSharedBytes)) {
    fail(call, "wrote far beyond its " + std::to_string(c.dynamicSmemBytes) + " bytes of shared memory");
  }
  std::memset(plumbline_shared_memory, 0xFF,
              runtime().sticky == cudaSuccess ? c.dynamicSmemBytes : kSharedBytes);
}

cudaError_t launch(const cudaLaunchConfig_t* configuration, KernelCall call) {
  return api(During::capture_allowed, [&] {
    if (configuration == nullptr) return cudaErrorInvalidValue;
    const cudaError_t refused = check(*configuration, call.function);
    if (refused != cudaSuccess) return refused;
    CUstream_st* stream = find_stream(configuration->stream);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    ++runtime().counters.launches;
    return submit(*stream, [c = *configuration, call = std::move(call)] { run_kernel(c, call); });
  });
}

}  // namespace plumbline::cuda_emulation
