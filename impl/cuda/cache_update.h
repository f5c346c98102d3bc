// New keys and values into the cache, each rounded to the cache's dtype once.
#pragma once

#include <cstdint>

#include "harness/dtype.h"
#include "impl/cuda/feature_group.h"
#include "impl/cuda/launch_shape.h"
#include "impl/cuda/step_table.h"

namespace plumbline::native::cuda {

// keys, values: [rows, kv_heads, head_dim] in `storage`. steps: [steps]; runs: [steps], this layer's; row r
// of step s becomes token r of runs[s].room. All on the device; step_of_row: [rows] i32.
void cache_update(Stream stream, DType storage, DType cache, const void* keys, const void* values,
                  const StepEntry* steps, const StepRuns* runs, const std::int32_t* step_of_row,
                  std::int64_t rows, std::int64_t kv_heads, std::int64_t head_dim);

inline constexpr int kCacheUpdateThreads = 128;

// x: threads, one for every eight features of a row's head; y: keys, values.
constexpr LaunchShape cache_update_shape(std::int64_t rows, std::int64_t kv_heads, std::int64_t head_dim) {
  const std::int64_t groups = rows * kv_heads * groups_of(head_dim);
  return {ceil_div(groups, std::int64_t{kCacheUpdateThreads}), 2, 1, kCacheUpdateThreads, 0};
}

}  // namespace plumbline::native::cuda
