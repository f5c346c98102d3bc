// What a launch asks of the device, computed on the host from the sizes of an op; tested there for every
// shape of Qwen2. Free of CUDA's headers.
#pragma once

#include <cstddef>
#include <cstdint>

struct CUstream_st;

namespace plumbline::native::cuda {

using Stream = CUstream_st*;  // cudaStream_t

struct LaunchShape {
  std::int64_t blocks_x = 1;
  std::int64_t blocks_y = 1;
  std::int64_t blocks_z = 1;
  std::int64_t threads = 1;  // of a block, along x
  std::size_t shared_bytes = 0;
};

// Of every device of compute capability 8.0 and newer (CUDA programming guide, "Technical specifications per
// compute capability").
inline constexpr std::int64_t kMostBlocksX = (std::int64_t{1} << 31) - 1;
inline constexpr std::int64_t kMostBlocksYZ = 65535;
inline constexpr std::int64_t kMostThreads = 1024;
inline constexpr std::size_t kSharedBytes = std::size_t{48} << 10;  // without asking for more
inline constexpr int kWarp = 32;

// Whether such a device can be asked for it.
constexpr bool fits(const LaunchShape& shape) {
  return shape.blocks_x >= 1 && shape.blocks_x <= kMostBlocksX && shape.blocks_y >= 1 &&
         shape.blocks_y <= kMostBlocksYZ && shape.blocks_z >= 1 && shape.blocks_z <= kMostBlocksYZ &&
         shape.threads >= 1 && shape.threads <= kMostThreads && shape.shared_bytes <= kSharedBytes;
}

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

}  // namespace plumbline::native::cuda
