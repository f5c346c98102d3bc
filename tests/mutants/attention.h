// Attention of the third forward pass: scores, weights and context of one sequence in one layer.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/mutants/cache.h"

namespace plumbline::mutants {

// Which keys each query may see: [queries, keys].
struct Mask {
  int queries = 0, keys = 0;
  std::vector<std::uint8_t> allowed;
  Mask() = default;
  Mask(int query_count, int key_count)
      : queries(query_count),
        keys(key_count),
        allowed(static_cast<std::size_t>(query_count) * static_cast<std::size_t>(key_count)) {}
  std::uint8_t& at(int query, int key) { return allowed[static_cast<std::size_t>(query * keys + key)]; }
  bool at(int query, int key) const { return allowed[static_cast<std::size_t>(query * keys + key)] != 0; }
};

// A key and its value: [kv_heads * head_dim] each.
struct Place {
  const float* key;
  const float* value;
};

struct AttentionInput {
  const Rows& q;  // [queries, heads * head_dim], rotated
  const Mask& mask;
  std::vector<Place> keys;    // of the sequence, in order
  std::vector<Place> beyond;  // places that are none of its business, attended by mistake
  Format format = {};
  int pads = 0;  // keys at the front that are padding
  int hidden = 0;
  int heads = 0, kv_heads = 0, head_dim = 0;
  int past() const { return static_cast<int>(keys.size()) - q.rows; }
};

struct Attended {
  std::vector<Rows> scores, probs;  // by head: [queries, keys]
  Rows context;                     // [queries, heads * head_dim], not rounded yet
};

Attended attend(const AttentionInput& in, SumOrder order, Mistake planted);

}  // namespace plumbline::mutants
