// What the generator gains and costs, as ratios of things timed in one run:
//   turn 3 of a conversation over a long system prompt, with the cached prompt and with all computed anew;
//   everything but forward, over decode, greedy and with every stage of the sampler's chain, text included;
//   decode over Hugging Face's generate() in f32 with its cache, as a child process.
//
//   build/plumbline-make-model --shape 0.5b --dtype bf16 -o models/half-billion
//   build/generation_pairs --model models/half-billion --python .venv/bin/python --check
#include "bench/generation_pairs.h"
#include "bench/bench_main.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <utility>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "harness/error.h"
#include "impl/cpu/engine.h"
#include "impl/tokenizer.h"

namespace plumbline::bench {
namespace {

// A checkpoint of random weights has no tokenizer: its ids are spelled by another's, over and over.
class FoldedTokenizer : public Tokenizer {
 public:
  FoldedTokenizer(const Tokenizer& other, std::int64_t size) : other_(&other), size_(size) {}
  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options) const override {
    return other_->encode(text, options);
  }
  EncodingStages encode_in_stages(std::string_view text, const EncodeOptions& options) const override {
    return other_->encode_in_stages(text, options);
  }
  std::string decode(std::span<const TokenId> ids, bool skip_special_tokens) const override {
    std::vector<TokenId> folded(ids.begin(), ids.end());
    for (TokenId& id : folded) id = fold(id);
    return other_->decode(folded, skip_special_tokens);
  }
  std::string token_bytes(TokenId id) const override { return other_->token_bytes(fold(id)); }
  bool is_special(TokenId id) const override { return other_->is_special(fold(id)); }
  std::int64_t size() const override { return size_; }
  std::string render_chat(std::span<const ChatMessage> messages, const ChatOptions& options) const override {
    return other_->render_chat(messages, options);
  }

 private:
  TokenId fold(TokenId id) const { return static_cast<TokenId>(id % other_->size()); }

  const Tokenizer* other_;
  std::int64_t size_;
};

void print_load(const char* when) {
  double load[1] = {0};
  if (::getloadavg(load, 1) == 1) fmt::print("load of the machine {}: {:.2f}\n", when, load[0]);
}

}  // namespace

std::vector<TokenId> spread_tokens(std::int64_t count, std::int64_t vocab) {
  std::vector<TokenId> tokens(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < tokens.size(); ++i)
    tokens[i] = static_cast<TokenId>((i * 7919 + 13) % static_cast<std::size_t>(vocab));
  return tokens;
}

native::GenerationRequest greedy_request(std::vector<TokenId> prompt, std::int64_t tokens) {
  native::GenerationRequest request;
  request.prompt = std::move(prompt);
  request.options.max_new_tokens = tokens;
  return request;
}

namespace {

const std::vector<std::string> kFigures{"turns", "overhead", "peer"};

// The exit status under --check: a figure that was asked for by its name may not be left out.
int run(const GenerationPairs& options, const std::vector<std::string>& asked) {
  print_load("before");
  const auto engine = native::make_cpu_engine(options.model, {.threads = options.threads});
  const auto spelling = native::load_tokenizer(options.tokenizer);
  const FoldedTokenizer tokenizer(*spelling, engine->config().vocab_size);
  fmt::print("{} thread{}, instruction set {}\n", options.threads, options.threads == 1 ? "" : "s",
             engine->info().isa);
  const auto measure = [&](const std::string& figure) {
    if (figure == "turns") return measure_turns(*engine, options);
    if (figure == "overhead") return measure_overhead(*engine, tokenizer, options);
    return measure_peer(*engine, tokenizer, options);
  };
  int status = 0;
  for (const std::string& figure : kFigures) {
    const bool by_name = std::ranges::find(asked, figure) != asked.end();
    if (!asked.empty() && !by_name) continue;
    const Outcome outcome = measure(figure);
    if (outcome == Outcome::missed) status = 1;
    if (outcome == Outcome::skipped && by_name && status == 0) status = 3;
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  fmt::print("peak memory of this process: {:.2f} GiB\n", static_cast<double>(usage.ru_maxrss) / (1 << 20));
  print_load("after");
  return status;
}

void add_options(CLI::App& app, GenerationPairs& options, std::vector<std::string>& asked) {
  app.add_option("--model", options.model, "Checkpoint directory")->required();
  app.add_option("--tokenizer", options.tokenizer, "Checkpoint whose tokenizer spells the ids (tiny's)");
  app.add_option("--figure", asked, "turns, overhead or peer; may be repeated (all)")
      ->check(CLI::IsMember(kFigures));
  app.add_option("--python", options.python, "Interpreter that has transformers (python3)");
  app.add_option("--system", options.system, "Tokens of the system prompt (6287)")
      ->check(CLI::Range(1, 1 << 15));
  app.add_option("--prompt", options.prompt, "Tokens before those that are decoded (64)")
      ->check(CLI::Range(1, 1 << 15));
  app.add_option("--tokens", options.tokens, "Decoded in each run (32)")->check(CLI::Range(1, 4096));
  app.add_option("--rounds", options.rounds, "Pairs per figure (9)")->check(CLI::Range(1, 1000));
  app.add_option("--turn-rounds", options.turn_rounds, "Pairs of turns (3)")->check(CLI::Range(1, 1000));
  app.add_option("--threads", options.threads, "Of the engine, and of the peer (1)")
      ->check(CLI::Range(1, 64));
}

}  // namespace
}  // namespace plumbline::bench

int main(int argc, char** argv) {
  plumbline::bench::GenerationPairs options;
  options.tokenizer = std::string(PLUMBLINE_SOURCE_DIR) + "/fixtures/models/tiny";
  std::vector<std::string> asked;
  bool check = false;
  CLI::App app("What the generator gains and costs.", "generation_pairs");
  plumbline::bench::add_options(app, options, asked);
  app.add_flag("--check", check, "Exit 1 when a median misses its target, 3 when a named figure was skipped");
  return plumbline::bench::bench_main(app, argc, argv, [&] {
    const int status = plumbline::bench::run(options, asked);
    return check ? status : 0;
  });
}
