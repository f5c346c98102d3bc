// One forward call as kernels see it: tables in device memory, written by one copy before the first kernel.
// Kernels are launched with the tables' addresses and with sizes that stay the same from one decode step to
// the next, so a captured graph can be launched again when only the tables' contents have changed.
#pragma once

#include <cstdint>

#include "impl/cuda/host_device.h"

namespace plumbline::native::cuda {

// Tokens of a cache, as impl/cache/run.h has them: feature d of head h of token t lies at t * token_stride +
// h
// * head_stride + d, in elements of the cache's dtype, in keys as in values.
struct DeviceRun {
  void* keys;
  void* values;
  std::int64_t tokens;
  std::int64_t token_stride;
  std::int64_t head_stride;
};

// At most three, in logical order; the rest have 0 tokens.
struct DeviceRuns {
  static constexpr int kMost = 3;
  DeviceRun runs[kMost];
};

// For one layer and one step: where its new tokens go, and all it attends to, the new ones among them.
struct StepRuns {
  DeviceRuns room;
  DeviceRuns held;
};

struct StepEntry {
  std::int64_t first_row;  // of the activations
  std::int64_t rows;
  std::int64_t past;  // tokens held before; a row's query is at past + its index
};

// Some consecutive queries of one step; scores and weights of attention lie in scratch memory as [heads,
// queries of the part, length]. A part is a whole step, or as much of a long one as the scratch has room for.
struct QueryTile {
  std::int32_t step;
  std::int32_t queries;      // 1 to kTileQueries
  std::int64_t first_query;  // within the step
  std::int64_t first_row;    // of the activations: that query's
  std::int64_t past;         // of the step
  std::int64_t length;       // past + rows of the step
  std::int64_t scores;       // element in the scratch: of head 0, this tile's first query, key 0
  std::int64_t head_stride;  // elements from one head's scores to the next; a query's are `length` apart
  std::int64_t partial;      // element in the partial sums of the context: of head 0, the first query
};
inline constexpr int kTileQueries = 16;

// Keys that the query at `position` of its sequence sees: causal; with a window of W > 0 exactly W keys,
// itself included. impl/mask.h says the same of the host.
struct KeySpan {
  std::int64_t begin;
  std::int64_t end;
};
PLUMBLINE_HOST_DEVICE inline KeySpan keys_seen(std::int64_t position, std::int64_t window) {
  const std::int64_t end = position + 1;
  return {window > 0 && end > window ? end - window : 0, end};
}

// The run that holds token `index`, and its number there.
struct PlaceInRun {
  int run;
  std::int64_t token;
};
PLUMBLINE_HOST_DEVICE inline PlaceInRun place_of(const DeviceRuns& runs, std::int64_t index) {
  int run = 0;
  while (run + 1 < DeviceRuns::kMost && index >= runs.runs[run].tokens) index -= runs.runs[run++].tokens;
  return {run, index};
}

}  // namespace plumbline::native::cuda
