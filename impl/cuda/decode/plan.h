// How a decode step of one sequence is shared out among the blocks of one persistent kernel: which model
// sizes it takes, what lies where in shared memory, who computes what. On the host for launches and tests, on
// the device for the kernel. Guesses by arithmetic, for an H200; nothing was measured on a device.
#pragma once

#include <cstddef>
#include <cstdint>

#include "impl/cuda/attention/tile.h"
#include "impl/cuda/host_device.h"
#include "impl/cuda/launch_shape.h"
#include "impl/cuda/linear.h"

namespace plumbline::native::cuda {

inline constexpr int kDecodeThreads = 512;
inline constexpr int kDecodeWarps = kDecodeThreads / kWarp;
// Keys that a query may see: their scores lie in shared memory. Beyond it other kernels take the step.
inline constexpr std::int64_t kMostDecodeKeys = 4096;
inline constexpr std::int64_t kMostDecodeHeadDim = 128;
// Features of the context that one task computes.
inline constexpr int kSliceFeatures = kWarp;
// Keys and values that a block brings into shared memory while it waits for the queries; the first of all.
inline constexpr int kMostTileKeys = 256;
static_assert(kMostTileKeys <= kDecodeThreads, "a thread for each key of a tile");
// Weights that a block asks into the L2 cache ahead of a layer's turn, of each linear layer.
inline constexpr std::int64_t kPrefetchBytes = std::int64_t{96} << 10;

struct DecodeSizes {
  std::int64_t hidden = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t intermediate = 0;
};

// ATTENTION. A task is a query head and a slice of its context.
PLUMBLINE_HOST_DEVICE constexpr int slices_of(std::int64_t head_dim) {
  return (static_cast<int>(head_dim) + kSliceFeatures - 1) / kSliceFeatures;
}
struct DecodeTask {
  int head;
  int slice;
  int kv_head;
  bool stores_keys;    // the head's first task of its kv head puts the new key into the cache,
  bool stores_values;  // the first head's tasks the new values, each its slice
};
PLUMBLINE_HOST_DEVICE constexpr int decode_tasks(const DecodeSizes& sizes) {
  return static_cast<int>(sizes.heads) * slices_of(sizes.head_dim);
}
PLUMBLINE_HOST_DEVICE constexpr DecodeTask decode_task(const DecodeSizes& sizes, int task) {
  const int slices = slices_of(sizes.head_dim);
  const int group = static_cast<int>(sizes.heads) / static_cast<int>(sizes.kv_heads);
  const int head = task / slices, slice = task - head * slices;
  const bool first_head = head % group == 0;
  return {head, slice, head / group, first_head && slice == 0, first_head};
}

// LINEAR LAYERS. Output o is block o % blocks' own, and there in turn each warp's: blocks have equal numbers
// of outputs, but for one.
struct WarpOutputs {
  int first;
  int stride;
};
PLUMBLINE_HOST_DEVICE constexpr WarpOutputs outputs_of_warp(int block, int blocks, int warp) {
  return {block + blocks * warp, blocks * kDecodeWarps};
}
// Whether the weights of the block's output number `index` is asked for ahead: the first is, and those that
// kPrefetchBytes have room for.
PLUMBLINE_HOST_DEVICE constexpr bool asked_ahead(int index, std::int64_t output_bytes) {
  return index == 0 || (index + 1) * output_bytes <= kPrefetchBytes;
}

// Of many short rows of weights each warp has so many bytes on their way to the L2 cache: whole rows.
inline constexpr int kWarpPrefetchBytes = 8 << 10;
PLUMBLINE_HOST_DEVICE constexpr int rows_ahead(int row_bytes) {
  return kWarpPrefetchBytes / row_bytes;
}

// SHARED MEMORY, in bytes from its beginning; each part on 16 bytes.
struct DecodeLayout {
  std::size_t sums, largests;        // f32 [32] each, of warps
  std::size_t cos, sin;              // f32 [head_dim]
  std::size_t query, key, value;     // f32 [head_dim], [head_dim], [32]: the new token's
  std::size_t partials;              // f32 [blocks of keys, 32]
  std::size_t scores;                // f32 [keys], from the first block of keys on
  std::size_t probs;                 // f32 [warps, 64]: of the block of keys that a warp sums
  std::size_t norm_weight;           // storage [hidden]
  std::size_t x;                     // storage: a linear layer's input, zeros up to a multiple of 256
  std::size_t key_tile, value_tile;  // cache dtype [tile_keys, key_stride], [tile_keys, slice]
  std::size_t bytes;
  int key_packs, key_stride;  // 16 bytes each, of a key; the stride is odd, so that threads that read 8 keys
                              // meet in no bank
  int tile_keys;              // 0: there is too little shared memory
};

PLUMBLINE_HOST_DEVICE constexpr std::int64_t padded_depth(std::int64_t depth) {
  return (depth + kSumLanes - 1) / kSumLanes * kSumLanes;
}
constexpr std::int64_t widest_input(const DecodeSizes& sizes) {
  const std::int64_t context = sizes.heads * sizes.head_dim;
  const std::int64_t narrow = sizes.hidden > context ? sizes.hidden : context;
  return narrow > sizes.intermediate ? narrow : sizes.intermediate;
}

// With tiles of `tile_keys` keys, behind `first` bytes that the kernel has for tables.
constexpr DecodeLayout decode_layout(const DecodeSizes& sizes, std::size_t storage_bytes,
                                     std::size_t cache_bytes, std::size_t first, int tile_keys) {
  DecodeLayout layout{};
  std::size_t used = first;
  const auto take = [&used](std::size_t bytes) {
    const std::size_t at = used;
    used += (bytes + 15) / 16 * 16;
    return at;
  };
  const auto head_bytes = sizeof(float) * static_cast<std::size_t>(sizes.head_dim);
  constexpr std::size_t kBlocksSeen = kMostDecodeKeys / kKeyBlock + 1;
  layout.sums = take(sizeof(float) * kWarp);
  layout.largests = take(sizeof(float) * kWarp);
  layout.cos = take(head_bytes);
  layout.sin = take(head_bytes);
  layout.query = take(head_bytes);
  layout.key = take(head_bytes);
  layout.value = take(sizeof(float) * kSliceFeatures);
  layout.partials = take(sizeof(float) * kBlocksSeen * kSliceFeatures);
  layout.scores = take(sizeof(float) * kBlocksSeen * kKeyBlock);
  layout.probs = take(sizeof(float) * kDecodeWarps * kKeyBlock);
  layout.norm_weight = take(storage_bytes * static_cast<std::size_t>(sizes.hidden));
  layout.x = take(storage_bytes * static_cast<std::size_t>(padded_depth(widest_input(sizes))));
  layout.key_packs = static_cast<int>(static_cast<std::size_t>(sizes.head_dim) * cache_bytes / 16);
  layout.key_stride = layout.key_packs | 1;
  layout.tile_keys = tile_keys;
  const auto keys = static_cast<std::size_t>(tile_keys);
  layout.key_tile = take(16 * keys * static_cast<std::size_t>(layout.key_stride));
  layout.value_tile = take(keys * kSliceFeatures * cache_bytes);
  layout.bytes = used;
  return layout;
}
// The largest tiles that fit into `most` bytes of shared memory, whole blocks of keys.
constexpr DecodeLayout plan_decode(const DecodeSizes& sizes, std::size_t storage_bytes,
                                   std::size_t cache_bytes, std::size_t first, std::size_t most) {
  for (int keys = kMostTileKeys; keys > 0; keys -= static_cast<int>(kKeyBlock)) {
    const DecodeLayout layout = decode_layout(sizes, storage_bytes, cache_bytes, first, keys);
    if (layout.bytes <= most) return layout;
  }
  return {};
}

// Whether rows of weights, activations and heads are whole packs of 16 bytes in f32 and in bf16.
constexpr bool decode_takes(const DecodeSizes& sizes) {
  return sizes.hidden % 8 == 0 && sizes.head_dim % 8 == 0 && sizes.intermediate % 8 == 0 &&
         sizes.head_dim <= kMostDecodeHeadDim && sizes.hidden > 0 && sizes.intermediate > 0;
}

}  // namespace plumbline::native::cuda
