#include "impl/cpu/attention_tiles.h"

#include <algorithm>
#include <vector>

#include "impl/memory.h"

namespace plumbline::native {
namespace {

// How far apart the rows of a tile are.
std::int64_t feature_stride(const AttentionInput& in, const AttentionTile& tile) {
  return tile.heads > 1 ? in.head_dim : in.heads * in.head_dim;
}

// What the tiles of a chunk read next, in the order of memory: of a run's tokens after `part`, this tile's
// share. Null where it is not all there, or heads do not lie beside each other.
const float* chunk_ahead(const AttentionInput& in, const CacheRun& run, const float* data,
                         const AttentionTile& tile, KeyRange part, std::int64_t run_begin) {
  const std::int64_t token = part.end - run_begin;
  if (part.end - part.begin > kKeyChunk || token + kKeyChunk > run.tokens) return nullptr;
  const std::int64_t head = tile.head / heads_of_group(in);
  if (run.token_stride == in.head_dim) return data + head * run.head_stride + token * in.head_dim;
  if (run.token_stride != in.kv_heads * in.head_dim || run.head_stride != in.head_dim) return nullptr;
  return data + token * run.token_stride + head * (part.end - part.begin) * in.head_dim;
}

}  // namespace

// The mask says what is allowed, the cache what is there: a wrong mask must show as wrong weights, not as a
// crash.
KeyRange keys_of(const AttentionInput& in, std::int64_t query) {
  const KeyRange range = allowed_keys(in.past() + query, in.window);
  return {range.begin, std::min(range.end, in.length)};
}

std::int64_t heads_of_group(const AttentionInput& in) {
  return in.heads / in.kv_heads;
}

std::int64_t first_feature(const AttentionInput& in, const AttentionTile& tile) {
  return (tile.begin * in.heads + tile.head) * in.head_dim;
}

void score_tile(const CpuContext& context, const AttentionInput& in, const AttentionTile& tile,
                KeyRange range, float* scores, std::int64_t stride) {
  std::int64_t run_begin = 0;
  for (const CacheRun& run : in.runs) {
    const KeyRange part{std::max(range.begin, run_begin), std::min(range.end, run_begin + run.tokens)};
    if (part.begin < part.end) {
      context.kernels.matmul({.x = in.queries + first_feature(in, tile),
                              .x_stride = feature_stride(in, tile),
                              .rows = tile.rows(),
                              .w = run.keys + (part.begin - run_begin) * run.token_stride +
                                   tile.head / heads_of_group(in) * run.head_stride,
                              .w_stride = run.token_stride,
                              .outs = part.end - part.begin,
                              .depth = in.head_dim,
                              .bias = nullptr,
                              .y = scores + part.begin,
                              .y_stride = stride,
                              .ahead = chunk_ahead(in, run, run.keys, tile, part, run_begin)});
    }
    run_begin += run.tokens;
  }
}

void softmax_row(const CpuContext& context, KeyRange range, float scale, const float* scores, float* probs) {
  context.kernels.softmax({.scores = scores + range.begin,
                           .probs = probs + range.begin,
                           .count = range.end - range.begin,
                           .scale = scale});
}

void context_rows(const CpuContext& context, const AttentionInput& in, const AttentionTile& tile,
                  KeyRange keys, const float* probs, std::int64_t stride, float* out) {
  ValueRun runs[RunList<CacheRun>::kMost];
  ValueRun* next = runs;
  const float* ahead = nullptr;
  std::int64_t run_begin = 0;
  for (const CacheRun& run : in.runs) {
    if (keys.begin >= run_begin && keys.end <= run_begin + run.tokens)
      ahead = chunk_ahead(in, run, run.values, tile, keys, run_begin);
    run_begin += run.tokens;
    *next++ = {run.values + tile.head / heads_of_group(in) * run.head_stride, run.tokens, run.token_stride};
  }
  context.kernels.weighted_sum({.weights = probs,
                                .runs = runs,
                                .begin = keys.begin,
                                .end = keys.end,
                                .dim = in.head_dim,
                                .out = out + first_feature(in, tile),
                                .rows = tile.rows(),
                                .weights_stride = stride,
                                .out_stride = feature_stride(in, tile),
                                .ahead = ahead});
}

float* score_rows(std::int64_t rows, std::int64_t keys) {
  thread_local std::vector<float> scores;
  resize_floats(scores, rows, keys, "a thread's scores");
  return scores.data();
}

}  // namespace plumbline::native
