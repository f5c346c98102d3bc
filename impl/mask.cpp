#include "impl/mask.h"

#include <algorithm>

namespace plumbline::native {

KeyRange allowed_keys(std::int64_t query_position, std::optional<std::int64_t> window) {
  const std::int64_t first = window ? std::max(query_position - *window + 1, std::int64_t{0}) : 0;
  return {first, query_position + 1};
}

bool allowed(std::int64_t query_position_in_sequence, std::int64_t key_index,
             std::optional<std::int64_t> window) {
  const KeyRange range = allowed_keys(query_position_in_sequence, window);
  return key_index >= range.begin && key_index < range.end;
}

Tensor allowed_mask(std::int64_t queries, std::int64_t past, std::optional<std::int64_t> window) {
  const std::int64_t keys = past + queries;
  Tensor mask(DType::boolean, {queries, keys});
  auto* out = mask.values<std::uint8_t>().data();
  for (std::int64_t query = 0; query < queries; ++query) {
    for (std::int64_t key = 0; key < keys; ++key) {
      out[query * keys + key] = allowed(past + query, key, window) ? 1 : 0;
    }
  }
  return mask;
}

}  // namespace plumbline::native
