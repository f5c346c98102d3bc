// Decode beside Hugging Face's generate(): the same checkpoint in f32, prompt and number of threads, a run of
// each right after the other, the order changing from pair to pair. Both sides' decode is timed alike: from
// the first new token to the last, with all that the loop does between.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <sstream>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "bench/cache_ratios.h"
#include "bench/generation_child.h"
#include "bench/generation_pairs.h"
#include "harness/error.h"

namespace plumbline::bench {
namespace {

constexpr double kLeastSpeed = 1.0;
// LibTorch's OpenMP threads spin for some milliseconds after their last work, and would take a processor away
// from a native run that follows at once.
constexpr auto kPause = std::chrono::milliseconds(50);

struct Run {
  double seconds = 0;  // from the first new token to the last
  double peak = 0;     // resident bytes of the process so far
  std::vector<TokenId> tokens;
};

Run ours(native::Generator& generator, const std::vector<TokenId>& prompt, std::int64_t tokens) {
  std::this_thread::sleep_for(kPause);
  generator.clear();
  native::GenerationOutput output = generator.generate(greedy_request(prompt, tokens));
  return {output.timings.total - output.timings.to_first_token, static_cast<double>(output.peak_memory),
          std::move(output.tokens)};
}

Run theirs(ChildProcess& peer, const std::vector<TokenId>& prompt, std::int64_t tokens) {
  std::this_thread::sleep_for(kPause);
  peer.write_line(fmt::format("{} {}", tokens, fmt::join(prompt, " ")));
  const std::optional<std::string> line = peer.read_line();
  Run run;
  std::istringstream answer(line.value_or(""));
  answer >> run.seconds >> run.peak;
  for (TokenId token = 0; answer >> token;) run.tokens.push_back(token);
  const bool whole = run.seconds > 0 && run.tokens.size() == static_cast<std::size_t>(tokens);
  if (!whole) throw Error("the peer did not answer with its times", "hf_generate.py", "its error is above");
  return run;
}

void say_skipped(const std::string& reason) {
  fmt::print("decode over Hugging Face's generate(): skipped: {}\n", reason);
}

}  // namespace

Outcome measure_peer(Engine& engine, const Tokenizer& tokenizer, const GenerationPairs& options) {
  const std::string script = std::string(PLUMBLINE_SOURCE_DIR) + "/bench/peers/hf_generate.py";
  ChildProcess peer({options.python, script, options.model.string(), std::to_string(options.threads)});
  const std::string ready = peer.read_line().value_or("absent it ended before it was ready");
  if (!ready.starts_with("ready ")) {
    say_skipped(ready.starts_with("absent ") ? ready.substr(7) : "it said '" + ready + "'");
    return Outcome::skipped;
  }
  native::Generator generator(engine, &tokenizer);
  const std::vector<TokenId> prompt = spread_tokens(options.prompt, engine.config().vocab_size);
  const std::int64_t count = options.tokens + 1;
  Run one = ours(generator, prompt, count),
      other = theirs(peer, prompt, count);  // memory and threads are there
  if (one.tokens.front() != other.tokens.front())
    throw Error("not the same work: the first tokens differ", "hf_generate.py");
  const auto apart = std::ranges::mismatch(one.tokens, other.tokens).in1 - one.tokens.begin();
  std::vector<double> ratios, our_rates, their_rates;
  for (int round = 0; round < options.rounds; ++round) {
    if (round % 2 == 0) one = ours(generator, prompt, count);
    other = theirs(peer, prompt, count);
    if (round % 2 != 0) one = ours(generator, prompt, count);
    ratios.push_back(other.seconds / one.seconds);
    our_rates.push_back(static_cast<double>(options.tokens) / one.seconds);
    their_rates.push_back(static_cast<double>(options.tokens) / other.seconds);
  }
  const Quartile ratio = quartile(ratios);
  const bool reached = ratio.median >= kLeastSpeed;
  fmt::print(
      "decode over Hugging Face's generate() ({}), f32, {} thread{}: x {:.2f} ({:.2f} to {:.2f}; {} pairs of "
      "{} tokens; at least {:.0f}{}); {:.1f} and {:.1f} tokens/s; the first {} of {} tokens agree\n",
      ready.substr(6), options.threads, options.threads == 1 ? "" : "s", ratio.median, ratio.low, ratio.high,
      options.rounds, options.tokens, kLeastSpeed, reached ? "" : ", MISSED", quartile(our_rates).median,
      quartile(their_rates).median, apart, count);
  fmt::print("  peak memory: {:.2f} and {:.2f} GiB\n", one.peak / (1 << 30), other.peak / (1 << 30));
  std::fflush(stdout);
  return reached ? Outcome::reached : Outcome::missed;
}

}  // namespace plumbline::bench
