// Random tokens, splits and batches, and the calls that feed them: what invariances are measured over.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "phases/support/invariances.h"

namespace plumbline::phases {

using Random = std::mt19937;

std::int64_t between(Random& random, std::int64_t low, std::int64_t high);  // both included
std::vector<TokenId> random_tokens(Random& random, std::int64_t count, std::int64_t vocab);
// Lengths that sum to `tokens`: often 1, at times most of what is left.
std::vector<std::int64_t> random_split(Random& random, std::int64_t tokens);

// A sequence of a batch and what it still has to feed.
struct Feeding {
  SequenceId sequence = 0;
  std::span<const TokenId> tokens;
};

// One forward call; positions count on from what the cache holds. Logits of every row, by step.
LogitRows feed(Engine& engine, Cache& cache, const std::vector<Feeding>& feeding);
// All tokens, cut as `split` says.
LogitRows feed_split(Engine& engine, Cache& cache, std::span<const TokenId> tokens,
                     const std::vector<std::int64_t>& split, SequenceId sequence = 0);

// One after the other: [all rows, vocab].
Tensor joined(const LogitRows& rows);

// In the dtype that the engine stores.
CacheSpec growing(const Engine& engine, std::int64_t sequences = 1);
// In one call over a fresh cache that grows; logits of all positions [tokens, vocab].
Tensor whole_prefill(Engine& engine, std::span<const TokenId> tokens);

}  // namespace plumbline::phases
