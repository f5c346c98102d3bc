// Attention by tiles: rows of scores that share keys and values, and what is done to them.
#pragma once

#include <cstdint>

#include "impl/cpu/attention.h"
#include "impl/mask.h"

namespace plumbline::native {

// Keys at a time that all heads of a share go through: one block of the context's sum.
inline constexpr std::int64_t kKeyChunk = 32;

// Rows of scores that share keys and values: queries [begin, end) of one head, or one query of several heads.
struct AttentionTile {
  std::int64_t head;
  std::int64_t heads;
  std::int64_t begin;
  std::int64_t end;

  std::int64_t rows() const { return heads * (end - begin); }
};

// Of the keys there are, those that the query may see.
KeyRange keys_of(const AttentionInput& in, std::int64_t query);

// Query heads to a head of keys.
std::int64_t heads_of_group(const AttentionInput& in);

// Where the rows of a tile begin among those of all queries, [tokens, heads, head_dim].
std::int64_t first_feature(const AttentionInput& in, const AttentionTile& tile);

// scores[row][key] for keys in `range`, before the scale; rows are `stride` apart.
void score_tile(const CpuContext& context, const AttentionInput& in, const AttentionTile& tile,
                KeyRange range, float* scores, std::int64_t stride);

// Over the keys in `range`; touches nothing else. `probs` may be `scores`.
void softmax_row(const CpuContext& context, KeyRange range, float scale, const float* scores, float* probs);

// Adds the part of `keys`, whole blocks of the sum's order, to the rows of a tile that see the same keys:
// those of one query. `probs`: rows `stride` apart.
void context_rows(const CpuContext& context, const AttentionInput& in, const AttentionTile& tile,
                  KeyRange keys, const float* probs, std::int64_t stride, float* out);

// This thread's, for scores over so many keys. Throws Error when there is no memory.
float* score_rows(std::int64_t rows, std::int64_t keys);

// Attention for few queries: all heads of a share go through the keys together.
void attend_by_share(const CpuContext& context, const AttentionInput& in, float* out);

}  // namespace plumbline::native
