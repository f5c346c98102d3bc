#include "impl/cuda/cache_update.h"

#include <cuda_runtime.h>

#include "impl/cuda/device.cuh"
#include "impl/cuda/feature_group.h"
#include "impl/cuda/launch.h"

namespace plumbline::native::cuda {
namespace {

// A thread copies a group of features of a row's head, of the keys (y = 0) or the values (y = 1).
template <typename Storage, typename Cache>
__global__ void __launch_bounds__(kCacheUpdateThreads)
    cache_update_kernel(const Storage* keys, const Storage* values, const StepEntry* steps,
                        const StepRuns* runs, const std::int32_t* step_of_row, std::int64_t rows,
                        std::int64_t kv_heads, std::int64_t head_dim) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kCacheUpdateThreads + threadIdx.x;
  const std::int64_t groups = groups_of(head_dim);
  const std::int64_t row = i / (kv_heads * groups);
  if (row >= rows) return;
  const std::int64_t head = i / groups % kv_heads, feature = i % groups * kGroupFeatures;
  const Storage* from = (blockIdx.y == 0 ? keys : values) + (row * kv_heads + head) * head_dim + feature;

  const std::int32_t step = step_of_row[row];
  const DeviceRuns& room = runs[step].room;
  const PlaceInRun place = place_of(room, row - steps[step].first_row);
  const DeviceRun& run = room.runs[place.run];
  Cache* to = static_cast<Cache*>(blockIdx.y == 0 ? run.keys : run.values) + place.token * run.token_stride +
              head * run.head_stride + feature;

  const std::int64_t count = head_dim - feature;
  const bool whole = count >= kGroupFeatures;
  const FeatureGroup<Storage> group = load_group(from, count, whole && on_16_bytes(from));
  store_group(converted<Cache>(group), to, count, whole && on_16_bytes(to));
}

}  // namespace

void cache_update(Stream stream, DType storage, DType cache, const void* keys, const void* values,
                  const StepEntry* steps, const StepRuns* runs, const std::int32_t* step_of_row,
                  std::int64_t rows, std::int64_t kv_heads, std::int64_t head_dim) {
  for_storage(storage, [&](auto from) {
    for_storage(cache, [&](auto to) {
      using Storage = decltype(from);
      launch("cache_update", cache_update_kernel<Storage, decltype(to)>,
             cache_update_shape(rows, kv_heads, head_dim), stream, static_cast<const Storage*>(keys),
             static_cast<const Storage*>(values), steps, runs, step_of_row, rows, kv_heads, head_dim);
    });
  });
}

}  // namespace plumbline::native::cuda
