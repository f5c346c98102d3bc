// Keys or values of a block into shared memory, as f32; for .cu files.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "impl/cuda/attention/tile.h"
#include "impl/cuda/element.h"
#include "impl/cuda/feature_group.h"
#include "impl/cuda/step_table.h"

namespace plumbline::native::cuda {

enum class Side : std::uint8_t { keys, values };

template <typename Cache>
__device__ __forceinline__ const Cache* side_of(const DeviceRun& run, Side side) {
  return static_cast<const Cache*>(side == Side::keys ? run.keys : run.values);
}

// Where `key` of the head begins; null for one outside `keys`.
template <typename Cache>
__device__ __forceinline__ const Cache* find_row(const DeviceRuns& runs, Side side, std::int64_t head,
                                                 std::int64_t key, KeySpan keys) {
  if (key < keys.begin || key >= keys.end) return nullptr;
  const PlaceInRun place = place_of(runs, key);
  const DeviceRun& run = runs.runs[place.run];
  return side_of<Cache>(run, side) + place.token * run.token_stride + head * run.head_stride;
}

// rows: [kKeyBlock], of the keys from `first` on. The block has as many threads at least.
template <typename Cache>
__device__ __forceinline__ void find_rows(const DeviceRuns& runs, Side side, std::int64_t head,
                                          std::int64_t first, KeySpan keys, const Cache** rows) {
  const int i = static_cast<int>(threadIdx.x);
  if (i < kKeyBlock) rows[i] = find_row<Cache>(runs, side, head, first + i, keys);
}

// Whether all of a cache's groups of features can be read by accesses of 16 bytes. Without branches, so that
// no load waits for another.
template <typename Cache>
__device__ __forceinline__ bool reads_together(const DeviceRuns& runs, Side side, std::int64_t head_dim) {
  std::uint64_t offsets = head_dim % kGroupFeatures == 0 ? 0 : 1;
#pragma unroll
  for (int i = 0; i < DeviceRuns::kMost; ++i) {
    const DeviceRun& run = runs.runs[i];
    const auto steps = static_cast<std::uint64_t>(run.token_stride | run.head_stride) * sizeof(Cache);
    const auto address = reinterpret_cast<std::uintptr_t>(side_of<Cache>(run, side));
    offsets |= run.tokens == 0 ? 0 : address | steps;
  }
  return offsets % 16 == 0;
}

__device__ __forceinline__ void put_group(const FeatureGroup<float>& group, float* to) {
  *reinterpret_cast<FeatureGroup<float>*>(to) = group;
}

// tile: [kKeyBlock, width], rows that are null and features beyond head_dim as zeros. Four groups are on
// their way in each thread before the first is used.
template <bool kTogether, typename Cache>
__device__ __forceinline__ void stage_rows(const Cache* const* rows, int head_dim, int width, float* tile) {
  constexpr int kAtOnce = 4;
  const int groups = groups_of(head_dim), shift = log2_above(groups);
  const int places = static_cast<int>(kKeyBlock) << shift;
  for (int first = static_cast<int>(threadIdx.x); first < places; first += kAtOnce * kAttentionThreads) {
    FeatureGroup<Cache> held[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int place = first + i * kAttentionThreads;
      const int feature = (place & ((1 << shift) - 1)) * kGroupFeatures;
      const Cache* row = place < places && feature < head_dim ? rows[place >> shift] : nullptr;
      held[i] =
          row == nullptr ? FeatureGroup<Cache>{} : load_group(row + feature, head_dim - feature, kTogether);
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int place = first + i * kAttentionThreads;
      const int feature = (place & ((1 << shift) - 1)) * kGroupFeatures;
      if (place < places && feature < head_dim) {
        put_group(converted<float>(held[i]), tile + (place >> shift) * width + feature);
      }
    }
  }
}

}  // namespace plumbline::native::cuda
