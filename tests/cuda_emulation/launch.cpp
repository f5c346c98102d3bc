// Launches: the limits that a device has, then block after block, or all blocks of a cooperative grid.
#include <algorithm>

#include "tests/cuda_emulation/block.h"
#include "tests/cuda_emulation/grid.h"
#include "tests/cuda_emulation/runtime.h"
#include "tests/cuda_emulation/shared_memory.h"

namespace plumbline::cuda_emulation {
namespace {

bool shape_is_legal(const cudaLaunchConfig_t& c) {
  const dim3 block = c.blockDim, grid = c.gridDim;
  if (block.x == 0 || block.y == 0 || block.z == 0 || grid.x == 0 || grid.y == 0 || grid.z == 0) return false;
  if (block.x > 1024 || block.y > 1024 || block.z > 64) return false;
  if (std::uint64_t{block.x} * block.y * block.z > 1024) return false;
  return grid.x <= 0x7fffffffu && grid.y <= 65535 && grid.z <= 65535;
}

bool is_cooperative(const cudaLaunchConfig_t& c) {
  for (unsigned i = 0; i < c.numAttrs; ++i) {
    if (c.attrs[i].id == cudaLaunchAttributeCooperative) return c.attrs[i].val.cooperative != 0;
  }
  return false;
}

cudaError_t check(const cudaLaunchConfig_t& c, const void* function) {
  if (settings().compute_major < 8) return cudaErrorNoKernelImageForDevice;
  if (function == nullptr) return cudaErrorInvalidDeviceFunction;
  if (!shape_is_legal(c)) return cudaErrorInvalidConfiguration;
  if (c.dynamicSmemBytes > most_dynamic_shared(function)) return cudaErrorInvalidValue;
  if (!is_cooperative(c)) return cudaSuccess;
  if (!settings().cooperative_launch) return cudaErrorNotSupported;
  const dim3 grid = c.gridDim, block = c.blockDim;
  const std::uint64_t of_each =
      blocks_of_multiprocessor(function, block.x * block.y * block.z, c.dynamicSmemBytes);
  const std::uint64_t most = of_each * static_cast<std::uint64_t>(settings().multiprocessors);
  const bool resident = std::uint64_t{grid.x} * grid.y * grid.z <= most;
  return resident ? cudaSuccess : cudaErrorCooperativeLaunchTooLarge;
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

void run_block_by_block(const cudaLaunchConfig_t& c, const KernelCall& call) {
  static auto* const block = new Block;
  const std::uint64_t count = number_of_blocks();
  for (std::uint64_t index = 0; index < count && runtime().sticky == cudaSuccess; ++index) {
    const std::uint64_t at = block_at(index, count);
    blockIdx = block_index(at);
    clear_shared_memory(c.dynamicSmemBytes);
    open_shared_memory(c.dynamicSmemBytes);
    ++runtime().counters.blocks_run;
    block->start(call.thread, c.blockDim, at);
    const bool ended = block->run() == Block::State::ended;
    const bool kept_within = close_shared_memory(c.dynamicSmemBytes);
    if (!ended) fail(call, "block " + place(blockIdx) + ": " + block->failure());
    if (ended && !kept_within) fail(call, "block " + place(blockIdx) + wrote_beyond(c.dynamicSmemBytes));
  }
}

}  // namespace

void run_kernel(const cudaLaunchConfig_t& c, const KernelCall& call, bool cooperative) {
  ++runtime().counters.kernels_run;
  const std::string& to_fail = settings().fail_kernel;
  if (!to_fail.empty() && function_name(call.function).find(to_fail) != std::string::npos) {
    return fail(call, "failed as settings().fail_kernel asks");
  }
  if (!arguments_are_reachable(call)) return;
  prepare_shared_memory();
  gridDim = c.gridDim;
  blockDim = c.blockDim;
  if (cooperative) {
    Grid grid(call.thread, c.blockDim, c.dynamicSmemBytes);
    if (!grid.run()) fail(call, grid.failure());
  } else {
    run_block_by_block(c, call);
  }
  if (runtime().sticky == cudaSuccess && !release_shared_memory(c.dynamicSmemBytes)) {
    fail(call, "wrote far beyond its " + std::to_string(c.dynamicSmemBytes) + " bytes of shared memory");
  }
  if (runtime().sticky != cudaSuccess) forget_shared_memory();
}

cudaError_t launch(const cudaLaunchConfig_t* configuration, KernelCall call) {
  return api(During::capture_allowed, [&] {
    if (configuration == nullptr) return cudaErrorInvalidValue;
    const cudaError_t refused = check(*configuration, call.function);
    if (refused != cudaSuccess) return refused;
    CUstream_st* stream = find_stream(configuration->stream);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    ++runtime().counters.launches;
    const bool cooperative = is_cooperative(*configuration);  // the attributes are the caller's
    return submit(*stream, [c = *configuration, call = std::move(call), cooperative] {
      run_kernel(c, call, cooperative);
    });
  });
}

}  // namespace plumbline::cuda_emulation
