// How the kernels of attention cut up their work: which keys a tile reads, which rows a block computes, and
// what it holds in shared memory. Used by the kernels and by the functions that size their launches.
#pragma once

#include <cstddef>
#include <cstdint>

#include "impl/cuda/feature_group.h"
#include "impl/cuda/host_device.h"
#include "impl/cuda/launch_shape.h"
#include "impl/cuda/step_table.h"

namespace plumbline::native::cuda {

inline constexpr std::int64_t kKeyBlock = 64;
inline constexpr int kAttentionThreads = 128;  // of a block, in every kernel of attention

PLUMBLINE_HOST_DEVICE constexpr std::int64_t key_blocks(std::int64_t keys) {
  return (keys + kKeyBlock - 1) / kKeyBlock;
}

// Allowed for query `query` of the tile. A wrong table must not read past the keys there are.
PLUMBLINE_HOST_DEVICE inline KeySpan keys_of_query(const QueryTile& tile, std::int64_t query,
                                                   std::int64_t window) {
  const KeySpan seen = keys_seen(tile.past + tile.first_query + query, window);
  return {seen.begin, seen.end < tile.length ? seen.end : tile.length};
}
// Allowed for some query of the tile.
PLUMBLINE_HOST_DEVICE inline KeySpan keys_of_tile(const QueryTile& tile, std::int64_t window) {
  return {keys_of_query(tile, 0, window).begin, keys_of_query(tile, tile.queries - 1, window).end};
}

// The part of `keys` in the block of keys that begins at `first`; empty where end <= begin.
PLUMBLINE_HOST_DEVICE inline KeySpan in_block(KeySpan keys, std::int64_t first) {
  const std::int64_t end = first + kKeyBlock;
  return {keys.begin > first ? keys.begin : first, keys.end < end ? keys.end : end};
}

// The rows of a tile that read the same kv head: query by query, and the heads of the group for each.
struct TileRow {
  std::int64_t query;
  std::int64_t head;
};
PLUMBLINE_HOST_DEVICE inline TileRow tile_row(int row, std::int64_t kv_head, int group) {
  return {row / group, kv_head * group + row % group};
}

// Eight lanes added as the tree l + (l + 4), + 2, + 1.
PLUMBLINE_HOST_DEVICE inline float sum_of_lanes(const float (&lanes)[kGroupFeatures]) {
  const float a = lanes[0] + lanes[4], b = lanes[1] + lanes[5], c = lanes[2] + lanes[6],
              d = lanes[3] + lanes[7];
  return (a + c) + (b + d);
}

// SCORES. A block computes the scores of 64 keys for all rows of a tile and a kv head, kScoreBatch rows after
// each other. A warp holds kScoreRows of them against all 64 keys, a thread those rows against two keys.
inline constexpr int kScoreRows = 4;
inline constexpr int kScoreBatch = kScoreRows * kAttentionThreads / kWarp;

struct ScoresLayout {
  int query_width;  // floats from one query to the next
  int key_width;    // from one key to the next: an odd number of 16 bytes, so that 8 threads that read 16
                    // bytes of 8 keys meet in no bank
  std::size_t keys, rows, bytes;  // where things begin; the queries at 0
};
PLUMBLINE_HOST_DEVICE constexpr ScoresLayout scores_layout(std::int64_t head_dim) {
  ScoresLayout layout{padded_features(head_dim), padded_features(head_dim) + 4, 0, 0, 0};
  layout.keys = sizeof(float) * kScoreBatch * static_cast<std::size_t>(layout.query_width);
  layout.rows = layout.keys + sizeof(float) * kKeyBlock * static_cast<std::size_t>(layout.key_width);
  layout.bytes = layout.rows + sizeof(void*) * kKeyBlock;
  return layout;
}

// CONTEXT. A block sums `batch` rows of a tile and a kv head. A thread has four features of thread_rows rows;
// 2^lanes_log2 threads side by side have all features.
struct ContextRow {
  const float* probs;  // of key 0
  KeySpan keys;        // allowed; none for a row that the tile does not have
};
inline constexpr int kMostContextRows = 64;  // of a batch, for shared memory's sake

struct ContextLayout {
  int lanes_log2;
  int thread_rows;
  int batch;
  int value_width;  // floats from one key's values to the next
  int prob_width;   // floats from one key's probabilities, of the rows of the batch, to the next
  std::size_t probs, table, rows, bytes;  // where things begin; the values at 0
};
// thread_rows: 1, 2 or 8. Few where few rows are to share the threads, many where values are to be used
// often.
PLUMBLINE_HOST_DEVICE constexpr ContextLayout context_layout(std::int64_t head_dim, int thread_rows) {
  ContextLayout layout{};
  layout.value_width = padded_features(head_dim);
  layout.lanes_log2 = log2_above(layout.value_width / 4);
  layout.thread_rows = thread_rows;
  const int batch = (kAttentionThreads >> layout.lanes_log2) * thread_rows;
  layout.batch = batch < kMostContextRows ? batch : kMostContextRows;
  layout.prob_width = (layout.batch + 3) / 4 * 4 + 4;
  layout.probs = sizeof(float) * kKeyBlock * static_cast<std::size_t>(layout.value_width);
  layout.table = layout.probs + sizeof(float) * kKeyBlock * static_cast<std::size_t>(layout.prob_width);
  layout.rows = layout.table + sizeof(ContextRow) * static_cast<std::size_t>(layout.batch);
  layout.bytes = layout.rows + sizeof(void*) * kKeyBlock;
  return layout;
}
// The fewest thread_rows by which one batch holds `rows`; else the most.
PLUMBLINE_HOST_DEVICE constexpr int context_thread_rows(std::int64_t head_dim, std::int64_t rows) {
  if (rows <= context_layout(head_dim, 1).batch) return 1;
  if (rows <= context_layout(head_dim, 2).batch) return 2;
  return 8;
}

}  // namespace plumbline::native::cuda
