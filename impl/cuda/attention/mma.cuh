// What the kernels of attention on tensor cores share: where a lane's rows are, and words of 16 bytes; for
// .cu files.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "impl/cuda/attention/mma.h"
#include "impl/cuda/device.cuh"
#include "impl/cuda/mma.cuh"

namespace plumbline::native::cuda {

// Eight bf16 or four f32, in one access.
struct [[gnu::may_alias]] alignas(16) Words {
  std::uint32_t words[4];
};
template <typename T>
__device__ __forceinline__ Words read_words(const T* from) {
  return *reinterpret_cast<const Words*>(from);
}

inline constexpr int kLaneRows = 2;  // of a and d in a lane: g and g + 8

// What one block computes, and the warp's and the lane's place in it.
struct MmaBlock {
  QueryTile tile;
  std::int64_t kv_head;
  int group;      // query heads to a kv head
  int rows;       // of the tile: queries * group
  int first_row;  // of the warp
  int g, t;       // the lane's, as in mma.cuh

  __device__ __forceinline__ bool works() const { return first_row < rows; }
  // Row `r` of the lane's two; beyond the tile's rows its last one, whose sums nobody writes.
  __device__ __forceinline__ int row(int r) const {
    const int row = first_row + g + r * kMmaRows / kLaneRows;
    return row < rows ? row : rows - 1;
  }
  __device__ __forceinline__ bool has(int r) const { return first_row + g + r * kMmaRows / kLaneRows < rows; }
  __device__ __forceinline__ TileRow at(int r) const { return tile_row(row(r), kv_head, group); }
  // Its key 0 in the scratch.
  __device__ __forceinline__ std::int64_t scores(int r) const {
    const TileRow place = at(r);
    return tile.scores + place.head * tile.head_stride + place.query * tile.length;
  }
  // Whether rows of scores begin on 16 bytes where `scratch` does.
  __device__ __forceinline__ bool on_16_bytes(const float* scratch) const {
    const auto elements = static_cast<std::uint64_t>(tile.scores | tile.head_stride | tile.length);
    return (reinterpret_cast<std::uintptr_t>(scratch) | elements * sizeof(float)) % 16 == 0;
  }
};

// The last tile first: its rows see the most keys.
__device__ __forceinline__ MmaBlock this_mma_block(const AttentionLayer& layer) {
  MmaBlock block;
  block.tile = layer.tiles[gridDim.x - 1 - blockIdx.x];
  block.group = static_cast<int>(layer.heads / layer.kv_heads);
  block.rows = block.tile.queries * block.group;
  const auto batches = gridDim.z / static_cast<unsigned>(layer.kv_heads);
  const int batch_rows = static_cast<int>(blockDim.x) / kWarp * kMmaRows;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  block.kv_head = blockIdx.z / batches;
  block.first_row = static_cast<int>(blockIdx.z % batches) * batch_rows + warp * kMmaRows;
  block.g = lane / kMmaQuadLanes;
  block.t = lane % kMmaQuadLanes;
  return block;
}
// Whether no warp of the block has work.
__device__ __forceinline__ bool idle(const AttentionLayer& layer, const MmaBlock& block) {
  const int first = block.first_row - static_cast<int>(threadIdx.x) / kWarp * kMmaRows;
  return first >= block.rows || !on_tensor_cores(layer, block.tile);
}

}  // namespace plumbline::native::cuda
