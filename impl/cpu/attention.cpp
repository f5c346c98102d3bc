#include "impl/cpu/attention.h"

#include <algorithm>
#include <vector>

#include "impl/mask.h"
#include "impl/memory.h"

namespace plumbline::native {
namespace {

constexpr std::int64_t kQueryTile = 24;  // rows of scores at a time: whole register tiles of the kernels

// Keys at a time that all heads of a share go through: one block of the context's sum.
constexpr std::int64_t kChunk = 32;

// Rows of scores that share keys and values: queries [begin, end) of one head, or one query of several heads.
struct Tile {
  std::int64_t head;
  std::int64_t heads;
  std::int64_t begin;
  std::int64_t end;

  std::int64_t rows() const { return heads * (end - begin); }
};

// The mask says what is allowed, the cache what is there: a wrong mask must show as wrong weights, not as a
// crash.
KeyRange keys_of(const AttentionInput& in, std::int64_t query) {
  const KeyRange range = allowed_keys(in.past() + query, in.window);
  return {range.begin, std::min(range.end, in.length)};
}

std::int64_t group(const AttentionInput& in) {
  return in.heads / in.kv_heads;
}

// Where the rows of a tile begin among those of all queries, [tokens, heads, head_dim], and how far apart.
std::int64_t first_feature(const AttentionInput& in, const Tile& tile) {
  return (tile.begin * in.heads + tile.head) * in.head_dim;
}
std::int64_t feature_stride(const AttentionInput& in, const Tile& tile) {
  return tile.heads > 1 ? in.head_dim : in.heads * in.head_dim;
}

// What the tiles of a chunk read next, in the order of memory: of a run's tokens after `part`, this tile's
// share. Null where it is not all there, or heads do not lie beside each other.
const float* chunk_ahead(const AttentionInput& in, const CacheRun& run, const float* data, const Tile& tile,
                         KeyRange part, std::int64_t run_begin) {
  const std::int64_t token = part.end - run_begin;
  if (part.end - part.begin > kChunk || token + kChunk > run.tokens) return nullptr;
  const std::int64_t head = tile.head / group(in);
  if (run.token_stride == in.head_dim) return data + head * run.head_stride + token * in.head_dim;
  if (run.token_stride != in.kv_heads * in.head_dim || run.head_stride != in.head_dim) return nullptr;
  return data + token * run.token_stride + head * (part.end - part.begin) * in.head_dim;
}

// scores[row][key] for keys in `range`, before the scale; rows are `stride` apart.
void score_tile(const CpuContext& context, const AttentionInput& in, const Tile& tile, KeyRange range,
                float* scores, std::int64_t stride) {
  std::int64_t run_begin = 0;
  for (const CacheRun& run : in.runs) {
    const KeyRange part{std::max(range.begin, run_begin), std::min(range.end, run_begin + run.tokens)};
    if (part.begin < part.end) {
      context.kernels.matmul({.x = in.queries + first_feature(in, tile),
                              .x_stride = feature_stride(in, tile),
                              .rows = tile.rows(),
                              .w = run.keys + (part.begin - run_begin) * run.token_stride +
                                   tile.head / group(in) * run.head_stride,
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

// Over the keys in `range`; touches nothing else. `probs` may be `scores`.
void softmax_row(const CpuContext& context, KeyRange range, float scale, const float* scores, float* probs) {
  context.kernels.softmax({.scores = scores + range.begin,
                           .probs = probs + range.begin,
                           .count = range.end - range.begin,
                           .scale = scale});
}

// Adds the part of `keys`, whole blocks of the sum's order, to the rows of a tile that see the same keys:
// those of one query. `probs`: rows `stride` apart.
void context_rows(const CpuContext& context, const AttentionInput& in, const Tile& tile, KeyRange keys,
                  const float* probs, std::int64_t stride, float* out) {
  ValueRun runs[RunList<CacheRun>::kMost];
  ValueRun* next = runs;
  const float* ahead = nullptr;
  std::int64_t run_begin = 0;
  for (const CacheRun& run : in.runs) {
    if (keys.begin >= run_begin && keys.end <= run_begin + run.tokens)
      ahead = chunk_ahead(in, run, run.values, tile, keys, run_begin);
    run_begin += run.tokens;
    *next++ = {run.values + tile.head / group(in) * run.head_stride, run.tokens, run.token_stride};
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

// One query of one head, from the start.
void context_row(const CpuContext& context, const AttentionInput& in, std::int64_t head, std::int64_t query,
                 const float* probs, float* out) {
  const Tile tile{head, 1, query, query + 1};
  std::fill_n(out + first_feature(in, tile), in.head_dim, 0.0f);
  context_rows(context, in, tile, keys_of(in, query), probs, in.length, out);
}

// This thread's, for scores over so many keys.
float* score_rows(std::int64_t rows, std::int64_t keys) {
  thread_local std::vector<float> scores;
  resize_floats(scores, rows, keys, "a thread's scores");
  return scores.data();
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
                                body(Tile{i / tiles, 1, first, std::min(first + kQueryTile, in.tokens)});
                              }
                            });
}

// Into how many parts the heads that share keys are cut: as few as keep all threads busy.
std::int64_t parts_of_group(const CpuContext& context, const AttentionInput& in) {
  const std::int64_t threads = context.pool.threads();
  for (std::int64_t parts = 1; parts < group(in); ++parts) {
    const std::int64_t shares = in.tokens * in.kv_heads * parts;
    if (shares % threads == 0 || shares >= 4 * threads) return parts;
  }
  return group(in);
}

// Heads of one query, one tile for each head of keys: parts [first, last) of those that group(in) heads are
// cut into.
struct Share {
  std::int64_t query;
  std::int64_t first;
  std::int64_t last;
  std::int64_t parts;

  template <typename Body>
  void for_each_tile(const AttentionInput& in, const Body& body) const {
    for (std::int64_t i = first; i < last;) {
      const std::int64_t end = std::min(last, (i / parts + 1) * parts);
      const std::int64_t head = i / parts * group(in) + group(in) * (i % parts) / parts;
      const std::int64_t heads = i / parts * group(in) + group(in) * (end - i / parts * parts) / parts - head;
      body(Tile{head, heads, query, query + 1});
      i = end;
    }
  }
};

// Runs body(part of the range) for one chunk of keys after the other.
template <typename Body>
void for_each_chunk(KeyRange range, const Body& body) {
  for (std::int64_t begin = range.begin; begin < range.end;) {
    const std::int64_t end = std::min(range.end, (begin / kChunk + 1) * kChunk);
    body(KeyRange{begin, end});
    begin = end;
  }
}

// All heads of a share go through the keys together: so what shares a key is computed while that is in
// registers, and a cache that has all heads of a token beside each other is read from end to end, once.
void attend_share(const CpuContext& context, const AttentionInput& in, const Share& share, float* scores,
                  float* out) {
  const KeyRange range = keys_of(in, share.query);
  for_each_chunk(range, [&](KeyRange keys) {
    float* rows = scores;
    share.for_each_tile(in, [&](const Tile& tile) {
      score_tile(context, in, tile, keys, rows, in.length);
      rows += tile.heads * in.length;
    });
  });
  float* row = scores;
  share.for_each_tile(in, [&](const Tile& tile) {
    for (std::int64_t r = 0; r < tile.heads; ++r, row += in.length)
      softmax_row(context, range, in.scale, row, row);
    std::fill_n(out + first_feature(in, tile), tile.heads * in.head_dim, 0.0f);
  });
  for_each_chunk(range, [&](KeyRange keys) {
    const float* rows = scores;
    share.for_each_tile(in, [&](const Tile& tile) {
      context_rows(context, in, tile, keys, rows, in.length, out);
      rows += tile.heads * in.length;
    });
  });
}

// Few queries.
void attend_by_share(const CpuContext& context, const AttentionInput& in, float* out) {
  const std::int64_t parts = parts_of_group(context, in);
  const std::int64_t shares = in.kv_heads * parts;
  const std::int64_t work = (group(in) / parts + 1) * in.length * in.head_dim;
  const std::int64_t threads = context.pool.threads();
  const std::int64_t grain = std::max(CpuContext::grain(work), (in.tokens * shares + threads - 1) / threads);
  context.pool.parallel_for(in.tokens * shares, grain, [&](std::int64_t begin, std::int64_t end) {
    while (begin < end) {
      const std::int64_t query = begin / shares, stop = std::min(end, (query + 1) * shares);
      const Share share{query, begin - query * shares, stop - query * shares, parts};
      attend_share(context, in, share, score_rows(in.heads, in.length), out);
      begin = stop;
    }
  });
}

// Many queries, tile by tile.
void attend_by_tile(const CpuContext& context, const AttentionInput& in, float* out) {
  for_each_tile(context, in, [&](const Tile& tile) {
    // Only keys that some query of the tile sees.
    const KeyRange range{keys_of(in, tile.begin).begin, keys_of(in, tile.end - 1).end};
    float* row = score_rows(tile.rows(), in.length);
    score_tile(context, in, tile, range, row, in.length);
    for (std::int64_t query = tile.begin; query < tile.end; ++query, row += in.length) {
      softmax_row(context, keys_of(in, query), in.scale, row, row);
      context_row(context, in, tile.head, query, row, out);
    }
  });
}

}  // namespace

void attention(const CpuContext& context, const AttentionInput& in, float* out) {
  if (in.tokens < group(in)) {
    attend_by_share(context, in, out);
  } else {
    attend_by_tile(context, in, out);
  }
}

void attention_scores(const CpuContext& context, const AttentionInput& in, float* scores) {
  for_each_tile(context, in, [&](const Tile& tile) {
    float* rows = scores + (tile.head * in.tokens + tile.begin) * in.length;
    score_tile(context, in, tile, {0, in.length}, rows, in.length);
    for (std::int64_t i = 0; i < tile.rows() * in.length; ++i) rows[i] *= in.scale;
  });
}

void attention_probs(const CpuContext& context, const AttentionInput& in, const float* scores, float* probs) {
  for_each_tile(context, in, [&](const Tile& tile) {
    for (std::int64_t query = tile.begin; query < tile.end; ++query) {
      const std::int64_t row = (tile.head * in.tokens + query) * in.length;
      std::fill_n(probs + row, in.length, 0.0f);
      softmax_row(context, keys_of(in, query), 1.0f, scores + row, probs + row);
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
