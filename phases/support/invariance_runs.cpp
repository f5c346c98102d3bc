#include "phases/support/invariance_runs.h"

#include <algorithm>
#include <iterator>
#include <numeric>

namespace plumbline::phases {

std::int64_t between(Random& random, std::int64_t low, std::int64_t high) {
  return low + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(high - low + 1));
}

std::vector<TokenId> random_tokens(Random& random, std::int64_t count, std::int64_t vocab) {
  std::vector<TokenId> tokens;
  for (std::int64_t i = 0; i < count; ++i)
    tokens.push_back(static_cast<TokenId>(between(random, 0, vocab - 1)));
  return tokens;
}

std::vector<std::int64_t> random_split(Random& random, std::int64_t tokens) {
  std::vector<std::int64_t> split;
  while (tokens > 0) {
    const std::int64_t most = between(random, 0, 2) == 0 ? 1 : tokens;
    split.push_back(between(random, 1, most));
    tokens -= split.back();
  }
  return split;
}

LogitRows feed(Engine& engine, Cache& cache, const std::vector<Feeding>& feeding) {
  std::vector<std::vector<std::int64_t>> positions;
  std::vector<SequenceStep> steps;
  for (const Feeding& each : feeding) {
    positions.emplace_back(each.tokens.size());
    std::iota(positions.back().begin(), positions.back().end(), cache.length(each.sequence));
  }
  for (std::size_t i = 0; i < feeding.size(); ++i)
    steps.push_back({feeding[i].sequence, feeding[i].tokens, positions[i], LogitsWanted::all});
  NullSink nothing;
  LogitRows rows;
  for (const TensorView& view : engine.forward(steps, cache, nothing).steps)
    rows.push_back(engine.to_host(view));
  return rows;
}

static void append(LogitRows& to, LogitRows&& more) {
  std::ranges::move(more, std::back_inserter(to));
}

LogitRows feed_split(Engine& engine, Cache& cache, std::span<const TokenId> tokens,
                     const std::vector<std::int64_t>& split, SequenceId sequence) {
  LogitRows rows;
  std::size_t at = 0;
  for (const std::int64_t count : split) {
    append(rows, feed(engine, cache, {{sequence, tokens.subspan(at, static_cast<std::size_t>(count))}}));
    at += static_cast<std::size_t>(count);
  }
  return rows;
}

Tensor joined(const LogitRows& rows) {
  std::vector<float> all;
  for (const Tensor& part : rows) {
    const std::span<const float> values = part.values<float>();
    all.insert(all.end(), values.begin(), values.end());
  }
  const std::int64_t vocab = rows.at(0).shape()[1];
  return Tensor::from<float>(DType::f32, {static_cast<std::int64_t>(all.size()) / vocab, vocab}, all);
}

CacheSpec growing(const Engine& engine, std::int64_t sequences) {
  CacheSpec spec;
  spec.dtype = engine.info().storage;
  spec.max_sequences = sequences;
  return spec;
}

Tensor whole_prefill(Engine& engine, std::span<const TokenId> tokens) {
  const std::unique_ptr<Cache> cache = engine.make_cache(growing(engine));
  return std::move(feed(engine, *cache, {{0, tokens}}).front());
}

}  // namespace plumbline::phases
