// Rows from one run to another, whatever the layouts of both, as a loop over contiguous pieces.
#pragma once

#include <cstddef>

#include "impl/cache/run.h"

namespace plumbline::native {

// Strides in bytes.
struct CopyAxis {
  std::size_t count;
  std::size_t to_stride;
  std::size_t from_stride;
};

// outer.count * inner.count pieces of `piece` bytes.
struct CopyPlan {
  std::byte* to;
  const std::byte* from;
  std::size_t piece;
  CopyAxis outer, inner;
};

// Keys or values, as many tokens in both, in the longest pieces that are contiguous on both sides. Inline: as
// a call of its own, handing over the plan would take longer than moving a token's row.
inline CopyPlan plan_copy(const RunFormat& format, const StoredRun& to, const StoredRun& from,
                          CachePart part) {
  const std::size_t size = dtype_size(format.dtype);
  const auto bytes = [&](std::int64_t elements) { return static_cast<std::size_t>(elements) * size; };
  const auto tokens = static_cast<std::size_t>(from.tokens);
  const auto heads = static_cast<std::size_t>(format.kv_heads);
  const std::size_t head = bytes(format.head_dim), row = heads * head;
  const CopyAxis by_token{tokens, bytes(to.token_stride), bytes(from.token_stride)};
  const CopyAxis by_head{heads, bytes(to.head_stride), bytes(from.head_stride)};
  const CopyAxis once{tokens == 0 ? 0u : 1u, 0, 0};  // without tokens there may be no memory either
  const bool heads_touch = by_head.to_stride == head && by_head.from_stride == head;
  const bool rows_touch = by_token.to_stride == row && by_token.from_stride == row;
  const bool tokens_touch = by_token.to_stride == head && by_token.from_stride == head;
  std::byte* const into = part == CachePart::key ? to.keys : to.values;
  const std::byte* const out_of = part == CachePart::key ? from.keys : from.values;
  if (heads_touch && rows_touch) return {into, out_of, tokens * row, once, once};
  if (tokens_touch) return {into, out_of, tokens * head, once, by_head};
  if (heads_touch) return {into, out_of, row, by_token, once};
  return {into, out_of, head, by_token, by_head};
}

}  // namespace plumbline::native
