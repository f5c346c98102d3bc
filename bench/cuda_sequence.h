// What cuda_bench measures of the engine: one sequence, prefilled and continued.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "harness/engine.h"
#include "harness/sampling.h"

namespace plumbline::bench {

// Some tokens, the same ones each time.
std::vector<TokenId> some_prompt(std::int64_t length, std::int64_t vocab);

// One sequence of the engine over a fixed cache.
class Sequence {
 public:
  // Throws Error where the engine has no sampler of its own.
  Sequence(Engine& engine, std::int64_t capacity);

  // From an empty cache; returns when the device is done.
  double prefill_seconds(const std::vector<TokenId>& tokens);
  // Of one token, the mean over kDecoded greedy ones: their ids come back to the host, one by one.
  double decode_seconds(const std::vector<TokenId>& tokens);

 private:
  TensorView feed(std::span<const TokenId> tokens);

  Engine& engine_;
  std::unique_ptr<Cache> cache_;
  std::shared_ptr<Sampler> sampler_;
  std::vector<std::int64_t> positions_;
};

}  // namespace plumbline::bench
