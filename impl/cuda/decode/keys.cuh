// A cached sequence's keys and values inside the kernel of a decode step. Older tokens' lie in the cache and
// depend on nothing that the step computes. For decode/step.cu.
#pragma once

#include <cstdint>

#include "impl/cuda/attention/tile.h"
#include "impl/cuda/decode/arguments.cuh"
#include "impl/cuda/decode/threads.cuh"
#include "impl/cuda/prefetch.cuh"
#include "impl/cuda/step_table.h"

namespace plumbline::native::cuda {

// The keys that the step's query sees: old ones from `begin` to `past`, which is the new token.
struct DecodeKeys {
  int begin;
  int past;
  int base;  // the block of keys that holds `begin` starts here

  __device__ __forceinline__ int seen() const { return past + 1 - begin; }
  __device__ __forceinline__ int blocks() const { return static_cast<int>(key_blocks(past + 1 - base)); }
};
__device__ __forceinline__ DecodeKeys decode_keys(std::int64_t past, std::int64_t window) {
  const KeySpan seen = keys_seen(past, window);
  constexpr std::int64_t kMask = ~(kKeyBlock - 1);
  return {static_cast<int>(seen.begin), static_cast<int>(past), static_cast<int>(seen.begin & kMask)};
}

// Where the first feature of the head's values (keys) of a token begins.
template <typename Cache>
__device__ __forceinline__ Cache* value_row(const DeviceRuns& runs, int kv_head, int token) {
  const PlaceInRun place = place_of(runs, token);
  const DeviceRun& run = runs.runs[place.run];
  return static_cast<Cache*>(run.values) + place.token * run.token_stride + kv_head * run.head_stride;
}
template <typename Cache>
__device__ __forceinline__ Cache* key_row(const DeviceRuns& runs, int kv_head, int token) {
  const PlaceInRun place = place_of(runs, token);
  const DeviceRun& run = runs.runs[place.run];
  return static_cast<Cache*>(run.keys) + place.token * run.token_stride + kv_head * run.head_stride;
}

// Old keys [from, to) of the task, `packs` times 16 bytes of each row: row(token) says where they begin.
// They go to row token - first of the tile, whose rows are `stride` packs apart.
template <typename Cache, typename Row>
__device__ __forceinline__ void ask_for_rows(int from, int to, int first, int packs, int stride,
                                             const Row& row, Cache* tile) {
  constexpr int kPack = 16 / static_cast<int>(sizeof(Cache));
  const int shift = log2_above(packs), places = (to - from) << shift;
#pragma unroll 1
  for (int place = this_thread(); place < places; place += kDecodeThreads) {
    const int token = from + (place >> shift), pack = place & ((1 << shift) - 1);
    if (pack < packs)
      copy_to_shared(tile + ((token - first) * stride + pack) * kPack, row(token) + pack * kPack);
  }
}

// A tile's keys: those of base + tile * tile_keys and on.
template <typename Cache>
__device__ __forceinline__ void ask_for_keys(const DecodeMemory& shared, const DeviceRuns& held,
                                             const DecodeKeys& keys, int kv_head, int tile) {
  const DecodeLayout& layout = *shared.layout;
  const int first = keys.base + tile * layout.tile_keys, end = first + layout.tile_keys;
  ask_for_rows(
      first > keys.begin ? first : keys.begin, end < keys.past ? end : keys.past, first, layout.key_packs,
      layout.key_stride, [&](int token) { return key_row<Cache>(held, kv_head, token); },
      shared.at<Cache>(&DecodeLayout::key_tile));
}

// Of the first tile's tokens, a slice of the values.
template <typename Cache>
__device__ __forceinline__ void ask_for_values(const DecodeMemory& shared, const DeviceRuns& held,
                                               const DecodeKeys& keys, const DecodeTask& task, int head_dim) {
  const int end = keys.base + shared.layout->tile_keys;
  const int feature = task.slice * kSliceFeatures;
  const int features = head_dim - feature < kSliceFeatures ? head_dim - feature : kSliceFeatures;
  constexpr int kSlicePacks = kSliceFeatures * static_cast<int>(sizeof(Cache)) / 16;
  ask_for_rows(
      keys.begin, end < keys.past ? end : keys.past, keys.base,
      features * static_cast<int>(sizeof(Cache)) / 16, kSlicePacks,
      [&](int token) { return value_row<Cache>(held, task.kv_head, token) + feature; },
      shared.at<Cache>(&DecodeLayout::value_tile));
}

}  // namespace plumbline::native::cuda
