// Turn 3 of a conversation over a long system prompt: with what was said in the cache, and with everything
// computed anew.
#include <cstdio>
#include <utility>

#include <fmt/format.h>

#include "bench/cache_ratios.h"
#include "bench/generation_pairs.h"
#include "harness/error.h"

namespace plumbline::bench {
namespace {

constexpr double kLeastFaster = 10;
constexpr std::int64_t kQuestion = 24, kAnswer = 16;

class Conversations {
 public:
  // Two turns are over, and the cache holds them.
  Conversations(Engine& engine, std::int64_t system)
      : vocab_(engine.config().vocab_size),
        cached_(engine, nullptr, {.cache = {}}),
        fresh_(engine, nullptr, {.cache = {}}) {
    cached_.cache_prefix(spread_tokens(system, vocab_));
    ask(1);
    const native::GenerationOutput second = ask(2);
    // The answer's last token was not fed: it is read with the next question.
    question_ = question(3);
    question_.insert(question_.begin(), second.tokens.back());
    held_ = cached_.context().cached();
    const auto tokens = cached_.context().tokens().first(static_cast<std::size_t>(held_));
    all_.assign(tokens.begin(), tokens.end());
    all_.insert(all_.end(), question_.begin(), question_.end());
  }

  std::int64_t length() const { return static_cast<std::int64_t>(all_.size()); }
  native::GenerationOutput with() {
    cached_.crop(held_);
    native::GenerationRequest request = greedy_request({}, 1);
    request.prompt = native::Prompt::more(question_);
    return cached_.generate(std::move(request));
  }
  native::GenerationOutput without() {
    fresh_.clear();
    return fresh_.generate(greedy_request(all_, 1));
  }

 private:
  std::vector<TokenId> question(std::int64_t turn) const {
    std::vector<TokenId> tokens = spread_tokens(kQuestion * turn, vocab_);
    return {tokens.end() - kQuestion, tokens.end()};
  }
  native::GenerationOutput ask(std::int64_t turn) {
    native::GenerationRequest request = greedy_request({}, kAnswer);
    request.prompt = native::Prompt::more(question(turn));
    return cached_.generate(std::move(request));
  }

  std::int64_t vocab_;
  native::Generator cached_, fresh_;
  std::vector<TokenId> question_, all_;
  std::int64_t held_ = 0;
};

}  // namespace

Outcome measure_turns(Engine& engine, const GenerationPairs& options) {
  Conversations talk(engine, options.system);
  talk.with();  // its memory is there; of the other, all memory is new in each turn
  std::vector<double> ratios, with_seconds, without_seconds;
  native::GenerationOutput with, without;
  for (int round = 0; round < options.turn_rounds; ++round) {
    if (round % 2 == 0) with = talk.with();
    without = talk.without();
    if (round % 2 != 0) with = talk.with();
    if (with.tokens != without.tokens)
      throw Error("turn 3 begins with another token when all is computed anew", "generation_pairs");
    with_seconds.push_back(with.timings.to_first_token);
    without_seconds.push_back(without.timings.to_first_token);
    ratios.push_back(without_seconds.back() / with_seconds.back());
  }
  const Quartile ratio = quartile(ratios);
  const bool reached = ratio.median >= kLeastFaster;
  fmt::print(
      "turn 3 over a system prompt of {} tokens, to its first token: x {:.1f} faster with the cached prompt "
      "({:.1f} to {:.1f}; {} pairs; at least {:.0f}{})\n  {:.1f} ms for {} of {} tokens, {:.1f} ms for {}\n",
      options.system, ratio.median, ratio.low, ratio.high, options.turn_rounds, kLeastFaster,
      reached ? "" : ", MISSED", quartile(with_seconds).median * 1e3, with.processed_tokens, talk.length(),
      quartile(without_seconds).median * 1e3, without.processed_tokens);
  std::fflush(stdout);
  return reached ? Outcome::reached : Outcome::missed;
}

}  // namespace plumbline::bench
