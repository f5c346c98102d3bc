// How many blocks of a kernel live at once on a multiprocessor.
#include <algorithm>

#include "tests/cuda_emulation/runtime.h"
#include "tests/cuda_emulation/shared_memory.h"

namespace plumbline::cuda_emulation {
namespace {

constexpr std::size_t kSharedWithoutOptIn = 48 * 1024;

// CUDA programming guide, "Technical specifications per compute capability", 8.0 and 9.0.
constexpr unsigned kThreadsOfMultiprocessor = 2048;
constexpr std::size_t kMostBlocks = 32;
constexpr std::size_t kSharedOfTheSystem = 1024;  // of each block

}  // namespace

std::size_t most_dynamic_shared(const void* kernel) {
  const auto allowed = runtime().dynamic_shared.find(kernel);
  const std::size_t limit = allowed == runtime().dynamic_shared.end()
                                ? kSharedWithoutOptIn
                                : static_cast<std::size_t>(allowed->second);
  return std::min(limit, shared_memory_size());
}

int blocks_of_multiprocessor(const void* kernel, unsigned threads, std::size_t shared_bytes) {
  if (threads > 1024 || shared_bytes > most_dynamic_shared(kernel)) return 0;
  const unsigned whole_warps = (threads + 31) / 32 * 32;
  const std::size_t shared = settings().shared_optin + kSharedOfTheSystem;  // of the multiprocessor
  const std::size_t by_shared = shared / (shared_bytes + kSharedOfTheSystem);
  const std::size_t by_threads = kThreadsOfMultiprocessor / whole_warps;
  const auto by_registers = static_cast<std::size_t>(settings().blocks_of_multiprocessor);
  return static_cast<int>(std::min({kMostBlocks, by_shared, by_threads, by_registers}));
}

}  // namespace plumbline::cuda_emulation

using namespace plumbline::cuda_emulation;

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* kernel, int block_size,
                                                          std::size_t dynamic_shared_bytes) {
  return api(During::capture_allowed, [&] {
    if (blocks == nullptr || block_size <= 0) return cudaErrorInvalidValue;
    if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    if (settings().compute_major < 8) return cudaErrorNoKernelImageForDevice;
    *blocks = blocks_of_multiprocessor(kernel, static_cast<unsigned>(block_size), dynamic_shared_bytes);
    return cudaSuccess;
  });
}
