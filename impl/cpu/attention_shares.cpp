// Attention for few queries, a decode step: heads that share keys go through them together.
#include <algorithm>

#include "impl/cpu/attention_tiles.h"

namespace plumbline::native {
namespace {

// Into how many parts the heads that share keys are cut: as few as keep all threads busy.
std::int64_t parts_of_group(const CpuContext& context, const AttentionInput& in) {
  const std::int64_t threads = context.pool.threads();
  for (std::int64_t parts = 1; parts < heads_of_group(in); ++parts) {
    const std::int64_t shares = in.tokens * in.kv_heads * parts;
    if (shares % threads == 0 || shares >= 4 * threads) return parts;
  }
  return heads_of_group(in);
}

// Heads of one query, one tile for each head of keys: parts [first, last) of those that heads_of_group(in)
// heads are cut into.
struct Share {
  std::int64_t query;
  std::int64_t first;
  std::int64_t last;
  std::int64_t parts;

  template <typename Body>
  void for_each_tile(const AttentionInput& in, const Body& body) const {
    for (std::int64_t i = first; i < last;) {
      const std::int64_t end = std::min(last, (i / parts + 1) * parts);
      const std::int64_t head = i / parts * heads_of_group(in) + heads_of_group(in) * (i % parts) / parts;
      const std::int64_t heads =
          i / parts * heads_of_group(in) + heads_of_group(in) * (end - i / parts * parts) / parts - head;
      body(AttentionTile{head, heads, query, query + 1});
      i = end;
    }
  }
};

// Runs body(part of the range) for one chunk of keys after the other.
template <typename Body>
void for_each_chunk(KeyRange range, const Body& body) {
  for (std::int64_t begin = range.begin; begin < range.end;) {
    const std::int64_t end = std::min(range.end, (begin / kKeyChunk + 1) * kKeyChunk);
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
    share.for_each_tile(in, [&](const AttentionTile& tile) {
      score_tile(context, in, tile, keys, rows, in.length);
      rows += tile.heads * in.length;
    });
  });
  float* row = scores;
  share.for_each_tile(in, [&](const AttentionTile& tile) {
    for (std::int64_t r = 0; r < tile.heads; ++r, row += in.length)
      softmax_row(context, range, in.scale, row, row);
    std::fill_n(out + first_feature(in, tile), tile.heads * in.head_dim, 0.0f);
  });
  for_each_chunk(range, [&](KeyRange keys) {
    const float* rows = scores;
    share.for_each_tile(in, [&](const AttentionTile& tile) {
      context_rows(context, in, tile, keys, rows, in.length, out);
      rows += tile.heads * in.length;
    });
  });
}

}  // namespace

void attend_by_share(const CpuContext& context, const AttentionInput& in, float* out) {
  const std::int64_t parts = parts_of_group(context, in);
  const std::int64_t shares = in.kv_heads * parts;
  const std::int64_t work = (heads_of_group(in) / parts + 1) * in.length * in.head_dim;
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

}  // namespace plumbline::native
