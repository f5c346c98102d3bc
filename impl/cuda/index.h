// Index arithmetic of the kernels, as functions that run on the host too, where they are tested.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define PLUMBLINE_HOST_DEVICE __host__ __device__
#else
#define PLUMBLINE_HOST_DEVICE
#endif

namespace plumbline::native {

inline constexpr std::int64_t kBlockThreads = 256;
inline constexpr std::int64_t kMaxBlocks = 65535;  // a thread then takes several elements

// Blocks to launch for `count` elements; at least 1.
PLUMBLINE_HOST_DEVICE constexpr std::int64_t grid_blocks(std::int64_t count) {
  const std::int64_t blocks = (count + kBlockThreads - 1) / kBlockThreads;
  return blocks < 1 ? 1 : blocks > kMaxBlocks ? kMaxBlocks : blocks;
}

// The first element of a thread; its next ones follow at grid_stride() of each other.
PLUMBLINE_HOST_DEVICE constexpr std::int64_t first_element(std::int64_t block, std::int64_t thread) {
  return block * kBlockThreads + thread;
}
PLUMBLINE_HOST_DEVICE constexpr std::int64_t grid_stride(std::int64_t blocks) {
  return blocks * kBlockThreads;
}

}  // namespace plumbline::native
