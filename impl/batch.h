// The steps of one forward call, laid end to end: row r of every activation is one token of one sequence.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "harness/engine.h"
#include "impl/cache.h"

namespace plumbline::native {

struct BatchStep {
  SequenceId sequence = 0;
  std::int64_t first_row = 0;
  std::int64_t rows = 0;  // tokens
  std::int64_t past = 0;  // tokens in the cache before, without those that a full ring forgets
  std::int64_t first_logit_row = 0;
  std::int64_t logit_rows = 0;  // 0, 1 (the last token) or `rows`
  std::span<const TokenId> tokens;
  std::span<const std::int64_t> positions;
};

struct Batch {
  std::vector<BatchStep> steps;
  std::int64_t rows = 0;
  std::int64_t logit_rows = 0;
};

// Throws Error for no steps, an empty step, token ids outside the vocabulary, positions that do not match the
// tokens or are negative, a sequence named twice or unknown to the cache, or no room in it.
Batch make_batch(std::span<const SequenceStep> steps, const NativeCache& cache, std::int64_t vocab_size);

}  // namespace plumbline::native
