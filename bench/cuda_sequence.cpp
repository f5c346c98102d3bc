#include "bench/cuda_sequence.h"

#include <chrono>
#include <numeric>

#include "bench/cuda_limits.h"
#include "harness/error.h"

namespace plumbline::bench {
namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

std::vector<TokenId> some_prompt(std::int64_t length, std::int64_t vocab) {
  std::vector<TokenId> tokens(static_cast<std::size_t>(length));
  for (std::size_t i = 0; i < tokens.size(); ++i)
    tokens[i] = static_cast<TokenId>((i * 7919 + 13) % static_cast<std::size_t>(vocab));
  return tokens;
}

Sequence::Sequence(Engine& engine, std::int64_t capacity)
    : engine_(engine),
      cache_(engine.make_cache({CacheKind::fixed, 1, capacity, engine.info().storage})),
      sampler_(engine.device_sampler(0)) {
  require(sampler_ != nullptr, "cuda_bench: the engine has no sampler of its own");
}

double Sequence::prefill_seconds(const std::vector<TokenId>& tokens) {
  cache_->clear(0);
  engine_.synchronize();
  const auto start = Clock::now();
  feed(tokens);
  engine_.synchronize();
  return since(start);
}

double Sequence::decode_seconds(const std::vector<TokenId>& tokens) {
  prefill_seconds(tokens);
  std::vector<TokenId> history = tokens;
  const auto start = Clock::now();
  for (std::int64_t i = 0; i < kDecoded; ++i) {
    const TensorView logits = feed(std::span(&history.back(), 1));  // [1, vocab]
    const TensorView row(logits.data, logits.dtype, {logits.elements()}, logits.device);
    const SamplingStep step{row, history, i};
    NullSink nothing;
    history.push_back(sampler_->sample(step, SamplingParams{}, nothing));
  }
  return since(start) / static_cast<double>(kDecoded);
}

TensorView Sequence::feed(std::span<const TokenId> tokens) {
  positions_.resize(tokens.size());
  std::iota(positions_.begin(), positions_.end(), cache_->length(0));
  const SequenceStep step{0, tokens, positions_, LogitsWanted::last};
  NullSink nothing;
  return engine_.forward(std::span(&step, 1), *cache_, nothing).steps.at(0);
}

}  // namespace plumbline::bench
