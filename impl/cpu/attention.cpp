#include "impl/cpu/attention.h"

#include <algorithm>
#include <span>
#include <vector>

#include "impl/lanes.h"
#include "impl/mask.h"

namespace plumbline::native {
namespace {

constexpr std::int64_t kQueryTile = 24;  // rows of scores at a time: whole register tiles of the kernels

// Queries [begin, end) of one head.
struct Tile {
  std::int64_t head;
  std::int64_t begin;
  std::int64_t end;
};

// The mask says what is allowed, the cache what is there: a wrong mask must show as wrong weights, not as a
// crash.
KeyRange keys_of(const AttentionInput& in, std::int64_t query) {
  const KeyRange range = allowed_keys(in.past() + query, in.window);
  return {range.begin, std::min(range.end, in.length)};
}

std::int64_t kv_head(const AttentionInput& in, std::int64_t head) {
  return head / (in.heads / in.kv_heads);
}

// scores[query - tile.begin][key] for keys in `range`; rows are `stride` apart.
void score_tile(const CpuContext& context, const AttentionInput& in, const Tile& tile, KeyRange range,
                float* scores, std::int64_t stride) {
  std::int64_t run_begin = 0;
  for (const CacheRun& run : in.runs) {
    const KeyRange part{std::max(range.begin, run_begin), std::min(range.end, run_begin + run.tokens)};
    if (part.begin < part.end) {
      context.kernels.matmul({.x = in.queries + (tile.begin * in.heads + tile.head) * in.head_dim,
                              .x_stride = in.heads * in.head_dim,
                              .rows = tile.end - tile.begin,
                              .w = run.keys + (part.begin - run_begin) * run.token_stride +
                                   kv_head(in, tile.head) * run.head_stride,
                              .w_stride = run.token_stride,
                              .outs = part.end - part.begin,
                              .depth = in.head_dim,
                              .bias = nullptr,
                              .y = scores + part.begin,
                              .y_stride = stride});
    }
    run_begin += run.tokens;
  }
  for (std::int64_t row = 0; row < tile.end - tile.begin; ++row) {
    float* line = scores + row * stride;
    for (std::int64_t key = range.begin; key < range.end; ++key) line[key] *= in.scale;
  }
}

// Over the keys in `range`; touches nothing else. `probs` may be `scores`.
void softmax_row(KeyRange range, const float* scores, float* probs) {
  const auto keys = static_cast<std::size_t>(range.end - range.begin);
  const std::span<const float> from(scores + range.begin, keys);
  const std::span<float> to(probs + range.begin, keys);
  const float largest = largest_of(from);
  map_lanes(from, to, largest, [&](const Lanes& each) { return exp_not_positive(each - largest); });
  const auto divisor = static_cast<float>(sum_of(to));
  for (float& each : to) each /= divisor;
}

void context_row(const CpuContext& context, const AttentionInput& in, std::int64_t head, std::int64_t query,
                 const float* probs, float* out) {
  const KeyRange range = keys_of(in, query);
  ValueRun runs[RunList<CacheRun>::kMost];
  ValueRun* next = runs;
  for (const CacheRun& run : in.runs) {
    *next++ = {run.values + kv_head(in, head) * run.head_stride, run.tokens, run.token_stride};
  }
  context.kernels.weighted_sum({.weights = probs,
                                .runs = runs,
                                .begin = range.begin,
                                .end = range.end,
                                .dim = in.head_dim,
                                .out = out + (query * in.heads + head) * in.head_dim});
}

// Runs body(tile) for every head and every kQueryTile queries.
template <typename Body>
void for_each_tile(const CpuContext& context, const AttentionInput& in, const Body& body) {
  const std::int64_t tiles = (in.tokens + kQueryTile - 1) / kQueryTile;
  const std::int64_t work = std::min(kQueryTile, in.tokens) * in.length * in.head_dim;
  context.pool.parallel_for(in.heads * tiles, CpuContext::grain(work),
                            [&](std::int64_t begin, std::int64_t end) {
                              for (std::int64_t i = begin; i < end; ++i) {
                                const std::int64_t first = i % tiles * kQueryTile;
                                body(Tile{i / tiles, first, std::min(first + kQueryTile, in.tokens)});
                              }
                            });
}

}  // namespace

void attention(const CpuContext& context, const AttentionInput& in, float* out) {
  for_each_tile(context, in, [&](const Tile& tile) {
    // Only keys that some query of the tile sees.
    const KeyRange range{keys_of(in, tile.begin).begin, keys_of(in, tile.end - 1).end};
    thread_local std::vector<float> scores;
    scores.resize(static_cast<std::size_t>((tile.end - tile.begin) * in.length));
    score_tile(context, in, tile, range, scores.data(), in.length);
    for (std::int64_t query = tile.begin; query < tile.end; ++query) {
      float* row = scores.data() + (query - tile.begin) * in.length;
      softmax_row(keys_of(in, query), row, row);
      context_row(context, in, tile.head, query, row, out);
    }
  });
}

void attention_scores(const CpuContext& context, const AttentionInput& in, float* scores) {
  for_each_tile(context, in, [&](const Tile& tile) {
    float* rows = scores + (tile.head * in.tokens + tile.begin) * in.length;
    score_tile(context, in, tile, {0, in.length}, rows, in.length);
  });
}

void attention_probs(const CpuContext& context, const AttentionInput& in, const float* scores, float* probs) {
  for_each_tile(context, in, [&](const Tile& tile) {
    for (std::int64_t query = tile.begin; query < tile.end; ++query) {
      const std::int64_t row = (tile.head * in.tokens + query) * in.length;
      std::fill_n(probs + row, in.length, 0.0f);
      softmax_row(keys_of(in, query), scores + row, probs + row);
    }
  });
}

void attention_context(const CpuContext& context, const AttentionInput& in, const float* probs, float* out) {
  for_each_tile(context, in, [&](const Tile& tile) {
    for (std::int64_t query = tile.begin; query < tile.end; ++query) {
      context_row(context, in, tile.head, query, probs + (tile.head * in.tokens + query) * in.length, out);
    }
  });
}

}  // namespace plumbline::native
