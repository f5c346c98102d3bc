#include "impl/cpu/attention.h"

#include <algorithm>

#include "impl/cpu/attention_tiles.h"

namespace plumbline::native {
namespace {

constexpr std::int64_t kQueryTile = 24;  // rows of scores at a time: whole register tiles of the kernels

// One query of one head, from the start.
void context_row(const CpuContext& context, const AttentionInput& in, std::int64_t head, std::int64_t query,
                 const float* probs, float* out) {
  const AttentionTile tile{head, 1, query, query + 1};
  std::fill_n(out + first_feature(in, tile), in.head_dim, 0.0f);
  context_rows(context, in, tile, keys_of(in, query), probs, in.length, out);
}

// Runs body(tile) for every head and every kQueryTile queries.
template <typename Body>
void for_each_tile(const CpuContext& context, const AttentionInput& in, const Body& body) {
  const std::int64_t tiles = (in.tokens + kQueryTile - 1) / kQueryTile;
  const std::int64_t work = std::min(kQueryTile, in.tokens) * in.length * in.head_dim;
  context.pool.parallel_for(
      in.heads * tiles, CpuContext::grain(work), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const std::int64_t first = i % tiles * kQueryTile;
          body(AttentionTile{i / tiles, 1, first, std::min(first + kQueryTile, in.tokens)});
        }
      });
}

// Many queries, tile by tile.
void attend_by_tile(const CpuContext& context, const AttentionInput& in, float* out) {
  for_each_tile(context, in, [&](const AttentionTile& tile) {
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

// When the sums of a row are whole, whoever made its parts.
void store_rows(const CpuContext& context, const AttentionInput& in, float* out) {
  const std::int64_t width = in.heads * in.head_dim;
  context.pool.parallel_for(in.tokens, CpuContext::grain(width), [&](std::int64_t begin, std::int64_t end) {
    context.store(out + begin * width, (end - begin) * width);
  });
}

}  // namespace

void attention(const CpuContext& context, const AttentionInput& in, float* out) {
  if (in.tokens < heads_of_group(in)) {
    attend_by_share(context, in, out);
  } else {
    attend_by_tile(context, in, out);
  }
  store_rows(context, in, out);
}

void attention_scores(const CpuContext& context, const AttentionInput& in, float* scores) {
  for_each_tile(context, in, [&](const AttentionTile& tile) {
    float* rows = scores + (tile.head * in.tokens + tile.begin) * in.length;
    score_tile(context, in, tile, {0, in.length}, rows, in.length);
    for (std::int64_t i = 0; i < tile.rows() * in.length; ++i) rows[i] *= in.scale;
  });
}

void attention_probs(const CpuContext& context, const AttentionInput& in, const float* scores, float* probs) {
  for_each_tile(context, in, [&](const AttentionTile& tile) {
    for (std::int64_t query = tile.begin; query < tile.end; ++query) {
      const std::int64_t row = (tile.head * in.tokens + query) * in.length;
      std::fill_n(probs + row, in.length, 0.0f);
      softmax_row(context, keys_of(in, query), 1.0f, scores + row, probs + row);
    }
  });
}

void attention_context(const CpuContext& context, const AttentionInput& in, const float* probs, float* out) {
  for_each_tile(context, in, [&](const AttentionTile& tile) {
    for (std::int64_t query = tile.begin; query < tile.end; ++query) {
      context_row(context, in, tile.head, query, probs + (tile.head * in.tokens + query) * in.length, out);
    }
  });
  store_rows(context, in, out);
}

}  // namespace plumbline::native
