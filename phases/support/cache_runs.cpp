#include "phases/support/cache_runs.h"

#include <chrono>
#include <numeric>

#include "harness/error.h"
#include "impl/sampler.h"

namespace plumbline::phases {
namespace {

enum class Keep : std::uint8_t { cache, nothing };

Tensor feed(Engine& engine, Cache& cache, std::span<const TokenId> tokens) {
  std::vector<std::int64_t> positions(tokens.size());
  std::iota(positions.begin(), positions.end(), cache.length(0));
  const SequenceStep step{0, tokens, positions, LogitsWanted::last};
  NullSink nothing;
  return engine.to_host(engine.forward({&step, 1}, cache, nothing).steps.at(0));
}

LoopRun run(Engine& engine, Cache& cache, const LoopInput& input, Keep keep) {
  using Clock = std::chrono::steady_clock;
  require(cache.length(0) == 0, "run_loop: the cache is not empty");
  const std::shared_ptr<Sampler> sampler = native::sampler_for(engine);
  NullSink nothing;
  LoopRun made;
  std::vector<TokenId> history = input.prompt;
  std::size_t fed = 0;
  for (std::int64_t i = 0; i < input.steps; ++i) {
    if (keep == Keep::nothing) {
      cache.clear(0);
      fed = 0;
    }
    const auto begin = Clock::now();
    made.logits.push_back(feed(engine, cache, std::span<const TokenId>(history).subspan(fed)));
    (i == 0 ? made.prefill_seconds : made.decode_seconds) +=
        std::chrono::duration<double>(Clock::now() - begin).count();
    fed = history.size();
    made.bytes.push_back(cache.bytes());
    const Tensor& logits = made.logits.back();
    SamplingStep step{{logits.bytes().data(), logits.dtype(), {logits.elements()}}, history, i};
    step.step = history.size();
    if (input.sampling.temperature != 0) step.uniform = input.uniforms.at(static_cast<std::size_t>(i));
    history.push_back(sampler->sample(step, input.sampling, nothing));
    made.tokens.push_back(history.back());
  }
  return made;
}

}  // namespace

LoopRun run_loop(Engine& engine, Cache& cache, const LoopInput& input) {
  return run(engine, cache, input, Keep::cache);
}

LoopRun run_full_recompute(Engine& engine, Cache& cache, const LoopInput& input) {
  return run(engine, cache, input, Keep::nothing);
}

}  // namespace plumbline::phases
