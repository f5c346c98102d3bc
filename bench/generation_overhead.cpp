// What a generator does beside its forward calls: sampling, text, hooks, and what holds it together.
#include <cstdio>
#include <utility>

#include <fmt/format.h>

#include "bench/cache_ratios.h"
#include "bench/generation_pairs.h"

namespace plumbline::bench {
namespace {

constexpr double kMostOverhead = 0.02;  // of decode

SamplingParams every_stage() {
  SamplingParams params;
  params.temperature = 0.8;
  params.top_k = 50;
  params.top_p = 0.9;
  params.min_p = 0.02;
  params.repetition_penalty = 1.1;
  params.presence_penalty = 0.2;
  params.frequency_penalty = 0.1;
  params.logit_bias = {{3, -1.0}, {17, 0.5}};
  return params;
}

struct Costs {
  std::vector<double> overhead, sampling, decode_seconds;  // shares of decode; per token
};

void run(native::Generator& generator, const SamplingParams& sampling, const GenerationPairs& options,
         Costs& costs) {
  const std::int64_t vocab = generator.engine().config().vocab_size;
  generator.clear();
  native::GenerationRequest request =
      greedy_request(spread_tokens(options.prompt, vocab), options.tokens + 1);
  request.options.sampling = sampling;
  request.stop_strings = {"\n\nnever said", "nor this"};
  std::size_t shown = 0;
  request.hooks.on_text = [&](std::string_view text) { shown += text.size(); };
  const native::GenerationTimings timings = generator.generate(std::move(request)).timings;
  costs.overhead.push_back((timings.total - timings.prefill - timings.decode) / timings.decode);
  costs.sampling.push_back(timings.sampling / timings.decode);
  costs.decode_seconds.push_back(timings.decode / static_cast<double>(options.tokens));
}

bool show(const char* name, const Costs& costs, const GenerationPairs& options) {
  const Quartile overhead = quartile(costs.overhead);
  const bool reached = overhead.median <= kMostOverhead;
  fmt::print(
      "everything but forward, {}: {:.2f} % of decode ({:.2f} to {:.2f}; {} runs of {} tokens; at most "
      "{:.0f} "
      "%{}), sampling {:.2f} %; a token's forward call {:.2f} ms\n",
      name, overhead.median * 100, overhead.low * 100, overhead.high * 100, options.rounds, options.tokens,
      kMostOverhead * 100, reached ? "" : ", MISSED", quartile(costs.sampling).median * 100,
      quartile(costs.decode_seconds).median * 1e3);
  std::fflush(stdout);
  return reached;
}

}  // namespace

Outcome measure_overhead(Engine& engine, const Tokenizer& tokenizer, const GenerationPairs& options) {
  native::Generator generator(engine, &tokenizer);
  Costs greedy, chain, warm;
  run(generator, {}, options, warm);
  run(generator, every_stage(), options, warm);
  for (int round = 0; round < options.rounds; ++round) {
    if (round % 2 == 0) run(generator, {}, options, greedy);
    run(generator, every_stage(), options, chain);
    if (round % 2 != 0) run(generator, {}, options, greedy);
  }
  const bool reached = show("greedy", greedy, options);
  return show("every stage of the chain", chain, options) && reached ? Outcome::reached : Outcome::missed;
}

}  // namespace plumbline::bench
