// The figures of bench/generation_pairs: what a generator gains and costs. Each part prints its lines.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "harness/engine.h"
#include "harness/tokenizer.h"
#include "impl/generator.h"

namespace plumbline::bench {

struct GenerationPairs {
  std::filesystem::path model, tokenizer;
  std::string python = "python3";
  std::int64_t system = 6287;  // tokens of the system prompt
  std::int64_t prompt = 64;    // of a prompt that is decoded after
  std::int64_t tokens = 32;    // decoded in each run
  int rounds = 9;              // pairs per figure
  int turn_rounds = 3;         // of the long prompt
  int threads = 1;
};

enum class Outcome : std::uint8_t { reached, missed, skipped };

// Ids that are spread over the vocabulary; the same ones for the same length.
std::vector<TokenId> spread_tokens(std::int64_t count, std::int64_t vocab);
// [prompt] greedily continued by `tokens`, whatever comes: nothing ends it.
native::GenerationRequest greedy_request(std::vector<TokenId> prompt, std::int64_t tokens);

// Seconds to the first token of turn 3 without a cached prompt, over those with it: at least 10.
Outcome measure_turns(Engine& engine, const GenerationPairs& options);
// All that is not forward, over the forward calls of decode: at most 2 %, greedy and with every stage of the
// chain. `tokenizer` makes the text.
Outcome measure_overhead(Engine& engine, const Tokenizer& tokenizer, const GenerationPairs& options);
// Decoded tokens per second over Hugging Face's generate(): at least 1. Skipped where the interpreter has no
// transformers. Throws Error where the peer fails, or begins with another token: it did other work then.
Outcome measure_peer(Engine& engine, const Tokenizer& tokenizer, const GenerationPairs& options);

}  // namespace plumbline::bench
