// What `plumbline generate` was asked for.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "cli/common.h"
#include "cli/listeners.h"
#include "harness/generation.h"

namespace plumbline::cli {

struct GenerateOptions {
  std::string model, engine = "cpu", cache = "concat", dtype = "f32", isa, device;
  PromptOptions prompt;
  int threads = 0;
  std::int64_t max_new_tokens = 64, max_length = 0;
  std::uint64_t seed = 0;
  std::vector<std::string> logit_bias;
  SamplingParams sampling;
  std::vector<std::string> stop;
  std::string save, load, when_long = "recompute";
  std::int64_t limit = 0;
  ListenerOptions listeners;
  bool ids = false, timed = false, interactive = false;
  // Which of them were given.
  bool has_prompt = false, has_system = false;

  // A system text, a saved conversation, a terminal: then --prompt is the user's turn.
  bool is_conversation() const { return has_system || interactive || !save.empty() || !load.empty(); }
};

void add_generate_options(CLI::App& command, GenerateOptions& options);

// After parsing. Throws Error for options that contradict each other.
void complete(const CLI::App& command, GenerateOptions& options);

CacheKind cache_kind(const std::string& name);  // throws Error

// Sampling and limits in effect: the checkpoint's own where its generation_config asks for sampling, or those
// in `start`; each option that was given overrides.
GenerationOptions effective_options(const CLI::App& command, const GenerateOptions& options);
void override_options(const CLI::App& command, const GenerateOptions& options, GenerationOptions& effective);

// "greedy; at most 64 new tokens; ends at [151645]".
std::string describe(const GenerationOptions& options, std::uint64_t seed);

}  // namespace plumbline::cli
