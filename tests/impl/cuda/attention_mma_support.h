// What the tests of attention on tensor cores share.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/impl/cuda/attention_support.h"

namespace plumbline::native::cuda::testing {

// One step in bf16: six heads, two kv heads.
Problem halves(Random& random, std::int64_t head_dim, std::int64_t rows, std::int64_t past,
               std::int64_t window);

Form tiles_of_16(std::int64_t tensor_core_rows);

// The context of the last query in f32, before it is rounded to storage: [heads, key_blocks(length),
// head_dim], one sum for each 64 keys, since that is what there is of it; the first block is the first that
// the query sees. probs: [heads, length].
std::vector<float> block_sums(const Problem& p, const std::vector<float>& probs);

}  // namespace plumbline::native::cuda::testing
