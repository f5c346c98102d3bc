// What the layouts of a cache cost, as ratios of things timed in the same run: written and read beside a
// plain copy of the same bytes, an update at twice the length beside one at the length.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/engine.h"
#include "impl/cache/run.h"

namespace plumbline::bench {

struct Quartile {
  double low = 0, median = 0, high = 0;
};
Quartile quartile(std::vector<double> values);  // at least one

// In f32, of one layout and packing. Times of a memcpy of as many bytes are 1.
struct LayoutCost {
  CacheSpec spec;
  Quartile write_all;             // a prefill of all tokens
  Quartile read_by_token;         // every layer gathered as [tokens, kv_heads, head_dim]
  Quartile read_by_head;          // every layer gathered as [kv_heads, tokens, head_dim]
  double update_nanoseconds = 0;  // one token, all layers, the median
  std::int64_t bytes = 0;         // allocated
  std::int64_t needed = 0;        // by the tokens held
};
std::vector<LayoutCost> measure_layouts(const native::CacheShape& shape, std::int64_t tokens, int rounds);

// The time of one token's update, all layers, from `longer` tokens on, over that from `tokens` on: each the
// average over a quarter more tokens.
struct GrowthCost {
  Quartile fixed, growing;
};
GrowthCost measure_growth(const native::CacheShape& shape, std::int64_t tokens, std::int64_t longer,
                          int rounds);

// How many tokens a growing cache copies for each that is appended, while it grows from 2 * tokens to
// 4 * tokens, over the same from tokens to 2 * tokens; seen by where its rows lie, and the same on any
// machine. 1: an update costs the same at any length, on average; 2: it costs in proportion to the length.
double copies_at_twice_the_length(const native::CacheShape& shape, std::int64_t tokens);

}  // namespace plumbline::bench
