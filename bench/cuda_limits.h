// What cuda_bench asks of each shape, and what an engine cannot do without: bytes that a token reads,
// operations of a prefill.
#pragma once

#include <cstdint>
#include <optional>

#include "harness/model.h"

namespace plumbline::bench {

inline constexpr std::int64_t kPrompt = 128, kDecoded = 64, kPrefill = 2048;  // tokens

// Shares of the limit that are asked of a shape; others are shown alone.
struct Target {
  std::int64_t hidden;
  double decode;
  std::optional<double> prefill;
};
// null: nothing is asked of that shape.
const Target* target_of(const ModelConfig& config);

struct Sizes {
  double layer_weights;  // multiplied by in all layers, elements
  double decode_bytes;   // read for one token behind `kPrompt` to `kPrompt + kDecoded` others
  double prefill_operations;
};

// Counted is what no engine can do without: every weight once, the keys and values that are held once; in a
// prefill the products with the layers' weights, scores and contexts of the allowed keys, the last row's
// logits.
Sizes sizes_of(const ModelConfig& config);

}  // namespace plumbline::bench
