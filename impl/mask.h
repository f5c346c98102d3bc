// Which keys a query may see: the one place that decides it, for attention and for the mask probe.
#pragma once

#include <cstdint>
#include <optional>

#include "harness/tensor.h"

namespace plumbline::native {

struct KeyRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;  // exclusive
};

// The keys that the query at `query_position` of its sequence sees. Both count from the sequence's first
// token, whatever its rotary positions are. Causal; with a window of W it sees exactly W keys, itself
// included: key > query - W.
KeyRange allowed_keys(std::int64_t query_position, std::optional<std::int64_t> window);

bool allowed(std::int64_t query_position_in_sequence, std::int64_t key_index,
             std::optional<std::int64_t> window);

// [queries, past + queries] booleans; query i sits at past + i, so the diagonal ends at the bottom right.
Tensor allowed_mask(std::int64_t queries, std::int64_t past, std::optional<std::int64_t> window);

}  // namespace plumbline::native
