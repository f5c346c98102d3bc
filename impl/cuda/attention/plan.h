// How a batch's attention is cut into launches: tiles of queries, and waves of tiles whose scores fit into
// the scratch memory. Nothing here changes a bit of what is computed (impl/cuda/attention/attention.h).
#pragma once

#include <cstdint>
#include <vector>

#include "impl/batch.h"
#include "impl/cuda/step_table.h"

namespace plumbline::native::cuda {

struct AttentionSizes {
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
};

// Tiles that are launched together; they share the scratch, each in a place of its own.
struct AttentionWave {
  std::int64_t first_tile = 0;
  std::int64_t tiles = 0;
  std::int64_t most_queries = 0;
  std::int64_t most_keys = 0;
  std::int64_t fewest_rows = 0;  // queries of a step of which the wave has tiles
  std::int64_t most_rows = 0;
  bool keys_apart =
      false;  // every block of keys is summed by itself: there are too few tiles to fill a device
};

struct AttentionPlan {
  std::vector<QueryTile> tiles;
  std::vector<AttentionWave> waves;
  std::int64_t scores = 0;    // floats of scratch, the most of any wave
  std::int64_t partials = 0;  // the same for the context's partial sums
};

// Floats of scores that one wave may have, unless a single tile needs more: 256 MiB.
inline constexpr std::int64_t kMostScores = std::int64_t{1} << 26;
// Partial sums that one wave may have: 64 MiB.
inline constexpr std::int64_t kMostPartials = std::int64_t{1} << 24;

// `whole`: each step's scores lie together, [heads, queries, length], for who looks at them; all steps are
// one wave. Otherwise lengths are rounded up to a power of two where launches depend on them, so that a
// captured graph serves many decode steps.
AttentionPlan plan_attention(const Batch& batch, const AttentionSizes& sizes, bool whole);

}  // namespace plumbline::native::cuda
