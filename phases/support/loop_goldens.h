// Generation goldens: what Hugging Face's transformers wrote (fixtures/README.md), and the checks that hold a
// loop against it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "harness/report.h"
#include "phases/support/loop_kit.h"

namespace plumbline::phases {

struct GoldenText {
  std::string name;
  std::vector<TokenId> prompt;
  SamplingParams sampling;  // greedy where nothing was sampled
  std::vector<TokenId> tokens;
  std::string text;  // of the tokens, special ones shown
};

struct GoldenTurn {
  std::string said;
  std::vector<TokenId> fed;     // what the cache had not seen
  std::vector<TokenId> tokens;  // the answer; an end token is kept
  std::string text;             // without special tokens
};

struct GenerationGoldens {
  std::vector<std::int64_t> eos_token_ids;
  std::vector<GoldenText> greedy;  // no end token stops them
  std::vector<double> uniforms;    // of the sampled ones, from the first token on
  std::vector<GoldenText> sampled;
  std::string system;
  std::int64_t turn_tokens = 0;  // of an answer at most
  std::vector<GoldenTurn> turns;
};

// Of a folder of goldens; nullopt where it has no generation.json. Throws Error for a broken one.
std::optional<GenerationGoldens> read_generation_goldens(const std::filesystem::path& directory);

// At most so many tokens of each.
std::vector<Check> check_golden_greedy(const LoopKit& kit, const GenerationGoldens& goldens,
                                       std::size_t most);
std::vector<Check> check_golden_sampled(const LoopKit& kit, const GenerationGoldens& goldens,
                                        std::size_t most);
// At most so many turns.
std::vector<Check> check_golden_turns(const LoopKit& kit, const GenerationGoldens& goldens, std::size_t most);

}  // namespace plumbline::phases
