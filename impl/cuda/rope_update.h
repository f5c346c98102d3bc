// What stands between the projections and attention, in one launch: rope() of queries and keys, and
// cache_update(). The same bits as the three; the keys' own buffer stays as it was, unrotated.
#pragma once

#include <cstdint>

#include "harness/dtype.h"
#include "impl/cuda/launch_shape.h"
#include "impl/cuda/step_table.h"
#include "impl/cuda/vectors.h"

namespace plumbline::native::cuda {

// All on the device; queries, keys and values in the storage dtype.
struct RopeUpdate {
  void* queries = nullptr;       // [rows, heads, head_dim], rotated in place
  const void* keys = nullptr;    // [rows, kv_heads, head_dim]
  const void* values = nullptr;  // the same
  const float* cos = nullptr;    // [rows, head_dim]
  const float* sin = nullptr;
  const StepEntry* steps = nullptr;           // [steps]
  const StepRuns* runs = nullptr;             // [steps], this layer's
  const std::int32_t* step_of_row = nullptr;  // [rows]
  std::int64_t rows = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;  // even
};
void rope_update(Stream stream, DType storage, DType cache, const RopeUpdate& update);

// Blocks: x the row, y as many as its threads need: `units` for a head of queries, keys or values, each for
// one pair of features or several.
constexpr LaunchShape shape_of_rope_update(const RopeUpdate& update, std::int64_t units) {
  const std::int64_t threads = (update.heads + 2 * update.kv_heads) * units;
  return {update.rows, ceil_div(threads, kElementThreads), 1, kElementThreads, 0};
}

}  // namespace plumbline::native::cuda
