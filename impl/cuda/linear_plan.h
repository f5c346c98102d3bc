// How a linear layer is shared out among warps, computed on the host and tested there.
//
// A warp sums a tile of rows x weight rows: thread t holds lanes 8t to 8t + 7 of each sum in registers, so a
// step of 256 terms reads each row's and each weight row's once. Warps of a block stand side by side: those
// of the same outputs read the weights from the L1 cache, those of the same rows x. Chosen by arithmetic for
// a device of some hundred multiprocessors, 64 K registers each; nothing was measured on a device.
#pragma once

#include <cstdint>

#include "impl/cuda/host_device.h"
#include "impl/cuda/launch_shape.h"

namespace plumbline::native::cuda {

// Rows x weight rows of a warp. `one` and `few` keep several steps' loads in flight, since one row or a few
// wait for memory alone; `many`, bf16 only (f32 has no room in registers), reads each value for 4 sums.
enum class LinearTile : std::uint8_t { one, few, many };
constexpr std::int64_t tile_rows(LinearTile tile) {
  return tile == LinearTile::one ? 1 : 4;
}
// An output has one weight row, or two (gate and up); at least one output.
constexpr std::int64_t tile_outs(LinearTile tile, std::int64_t weight_rows) {
  if (tile == LinearTile::one) return 1;
  return (tile == LinearTile::few ? 2 : 4) / weight_rows;
}

inline constexpr std::int64_t kMostLinearThreads = 256;

// What kernels know of the plan. Blocks are numbered with the row tiles running fastest: those that run at
// the same time share weights, which are so read from memory once.
struct LinearGrid {
  std::uint32_t row_blocks = 1;  // blocks next to each other along the rows
  std::uint32_t row_warps = 1;   // of a block, along the rows; the others are along the outputs
};
struct LinearPlan {
  LaunchShape shape;
  LinearGrid grid;
  LinearTile tile = LinearTile::one;
};

// rows, outs: at least 1. element_size: 2 or 4. vectors_fit: rows may be read 16 bytes at a time; where they
// may not, tiles are `one`.
constexpr LinearPlan plan_linear(std::int64_t rows, std::int64_t outs, std::int64_t weight_rows,
                                 std::int64_t element_size, bool vectors_fit) {
  constexpr std::int64_t kEnoughTiles = 1024;  // about 8 warps for each multiprocessor
  LinearPlan plan;
  const bool one = rows == 1 || !vectors_fit;
  const std::int64_t large_tiles =
      ceil_div(rows, tile_rows(LinearTile::many)) * ceil_div(outs, tile_outs(LinearTile::many, weight_rows));
  const bool many = element_size == 2 && rows > tile_rows(LinearTile::few) && large_tiles >= kEnoughTiles;
  plan.tile = one ? LinearTile::one : many ? LinearTile::many : LinearTile::few;

  const std::int64_t row_tiles = ceil_div(rows, tile_rows(plan.tile));
  const std::int64_t out_tiles = ceil_div(outs, tile_outs(plan.tile, weight_rows));
  const std::uint32_t warps = row_tiles > 2 ? 8 : 4;
  plan.grid.row_warps = row_tiles > 2 ? 4 : row_tiles > 1 ? 2 : 1;
  const std::int64_t row_blocks = ceil_div(row_tiles, plan.grid.row_warps);
  plan.grid.row_blocks = static_cast<std::uint32_t>(row_blocks);
  plan.shape.blocks_x = row_blocks * ceil_div(out_tiles, warps / plan.grid.row_warps);
  plan.shape.threads = static_cast<std::int64_t>(warps) * kWarp;
  return plan;
}

// The first row and output of a warp's tile; beyond the last where the grid is larger than the work.
struct TilePlace {
  std::int64_t row;
  std::int64_t out;
};
PLUMBLINE_HOST_DEVICE constexpr TilePlace place_of_warp(const LinearGrid& grid, std::uint32_t block,
                                                        std::uint32_t warp, std::uint32_t warps,
                                                        std::int64_t rows_of_tile,
                                                        std::int64_t outs_of_tile) {
  const std::uint32_t out_block = block / grid.row_blocks;
  const std::uint32_t row_block = block - out_block * grid.row_blocks;
  const std::uint32_t out_warp = warp / grid.row_warps;
  const std::uint32_t row_warp = warp - out_warp * grid.row_warps;
  const std::uint32_t out_warps = warps / grid.row_warps;
  return {(std::int64_t{row_block} * grid.row_warps + row_warp) * rows_of_tile,
          (std::int64_t{out_block} * out_warps + out_warp) * outs_of_tile};
}

}  // namespace plumbline::native::cuda
