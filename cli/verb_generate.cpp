#include <charconv>
#include <climits>
#include <iostream>

#include <fmt/format.h>

#include "cli/common.h"
#include "cli/verbs.h"
#include "harness/generation.h"
#include "impl/config.h"
#include "impl/generator.h"
#include "impl/sampler.h"
#include "reference/generator.h"
#include "reference/sampler.h"

namespace plumbline::cli {
namespace {

struct Options {
  std::string model, engine = "cpu", cache = "concat", isa;
  PromptOptions prompt;
  int threads = 0;
  std::int64_t max_new_tokens = 64;
  std::uint64_t seed = 0;
  std::vector<std::string> logit_bias;
  SamplingParams sampling;
  bool ids = false;
};

CacheKind cache_kind(const std::string& name) {
  if (name == "concat") return CacheKind::concat;
  if (name == "fixed") return CacheKind::fixed;
  throw Error("unknown cache '" + name + "'", "--cache", "concat or fixed");
}

// "151643=-5", "7=-inf".
LogitBias logit_bias(const std::string& text) {
  const std::size_t equals = text.find('=');
  const Error refusal("'" + text + "' is no logit bias", "--logit-bias",
                      "TOKEN=BIAS, as in 151643=-5 or 7=-inf");
  if (equals == std::string::npos) throw refusal;
  const char* const end = text.data() + text.size();
  LogitBias bias;
  const auto [after_token, bad_token] = std::from_chars(text.data(), text.data() + equals, bias.token);
  const auto [after_bias, bad_bias] = std::from_chars(text.data() + equals + 1, end, bias.bias);
  const bool whole = after_token == text.data() + equals && after_bias == end;
  if (bad_token != std::errc() || bad_bias != std::errc() || !whole) throw refusal;
  return bias;
}

// The checkpoint's own sampling applies where its generation_config asks for sampling; each option given
// overrides.
GenerationOptions effective_options(const CLI::App& command, const Options& options) {
  const GenerationDefaults defaults =
      native::load_generation_config(options.model, native::load_config(options.model));
  GenerationOptions effective;
  SamplingParams& sampling = effective.sampling;
  sampling.repetition_penalty = defaults.repetition_penalty;
  if (defaults.do_sample) {
    sampling.temperature = defaults.temperature;
    sampling.top_k = defaults.top_k;
    sampling.top_p = defaults.top_p;
    sampling.min_p = defaults.min_p;
  }
  const auto given = [&](const char* name) { return command.count(name) > 0; };
  if (given("--temperature")) sampling.temperature = options.sampling.temperature;
  if (given("--top-k")) sampling.top_k = options.sampling.top_k;
  if (given("--top-p")) sampling.top_p = options.sampling.top_p;
  if (given("--min-p")) sampling.min_p = options.sampling.min_p;
  if (given("--repetition-penalty")) sampling.repetition_penalty = options.sampling.repetition_penalty;
  sampling.frequency_penalty = options.sampling.frequency_penalty;
  sampling.presence_penalty = options.sampling.presence_penalty;
  for (const std::string& text : options.logit_bias) sampling.logit_bias.push_back(logit_bias(text));
  validate(sampling);
  effective.max_new_tokens = options.max_new_tokens;
  if (!given("--max-new-tokens") && defaults.max_new_tokens)
    effective.max_new_tokens = *defaults.max_new_tokens;
  if (effective.max_new_tokens < 1) throw Error("must be at least 1", "--max-new-tokens");
  effective.eos_token_ids = defaults.eos_token_ids;
  effective.cache = cache_kind(options.cache);
  return effective;
}

std::string describe(const GenerationOptions& options, std::uint64_t seed) {
  const SamplingParams& s = options.sampling;
  std::string text = s.temperature == 0 ? "greedy"
                                        : fmt::format("temperature {}, top-k {}, top-p {}, min-p {}, seed {}",
                                                      s.temperature, s.top_k, s.top_p, s.min_p, seed);
  if (s.repetition_penalty != 1) text += fmt::format(", repetition penalty {}", s.repetition_penalty);
  if (s.frequency_penalty != 0) text += fmt::format(", frequency penalty {}", s.frequency_penalty);
  if (s.presence_penalty != 0) text += fmt::format(", presence penalty {}", s.presence_penalty);
  for (const LogitBias& each : s.logit_bias)
    text += fmt::format(", bias {} on token {}", each.bias, each.token);
  return text + fmt::format("; at most {} new tokens; ends at [{}]", options.max_new_tokens,
                            fmt::join(options.eos_token_ids, ", "));
}

int run(const CLI::App& command, const Options& options) {
  const GenerationOptions generation = effective_options(command, options);
  const std::vector<TokenId> prompt = prompt_tokens(options.prompt, command.count("--prompt") > 0,
                                                    command.count("--system") > 0, options.model);
  const std::unique_ptr<Engine> engine =
      make_engine(options.engine, options.model, DType::f32, options.threads, options.isa);
  require_context(prompt, engine->config());

  GenerationResult result;
  if (options.engine == "reference") {
    result = reference::generate(*engine, *reference::make_sampler(options.seed), prompt, generation);
  } else {
    NullSink nothing;
    result = native::generate(*engine, *native::make_sampler(options.seed), prompt, generation, nothing);
  }
  if (!options.ids) std::cerr << "plumbline: " << describe(generation, options.seed) << '\n';
  if (options.ids || !std::filesystem::exists(std::filesystem::path(options.model) / "tokenizer.json")) {
    std::cout << join(result.tokens) << '\n';
    return 0;
  }
  std::cout << load_tokenizer("native", options.model)->decode(result.tokens, false) << '\n';
  std::cerr << fmt::format("plumbline: {} tokens, stopped by {}\n", result.tokens.size(),
                           stop_reason_name(result.stop));
  return 0;
}

}  // namespace

Verb add_generate(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("generate", "Continue a prompt; prints the new text");
  command->footer("Example:\n  plumbline generate --model fixtures/models/tiny --prompt '1 2 3 4 5'");
  command->add_option("--model", options->model, "Checkpoint directory")->required();
  command->add_option("--prompt", options->prompt.prompt, "Text to continue");
  command->add_option("--tokens", options->prompt.tokens, "Token ids to continue, as in 1,2,3");
  command->add_option("--system", options->prompt.system, "System text: --prompt becomes a chat turn");
  command->add_option("--max-new-tokens", options->max_new_tokens, "At most this many")
      ->capture_default_str()
      ->check(CLI::Range(1, INT_MAX));
  command->add_option("--engine", options->engine, "cpu, cuda or reference")->capture_default_str();
  command->add_option("--cache", options->cache, "concat or fixed")->capture_default_str();
  command->add_option("--threads", options->threads, "0: one for each core")->capture_default_str();
  command->add_option("--isa", options->isa, "Instruction set of the cpu engine; plumbline info lists them");
  command->add_option("--temperature", options->sampling.temperature, "0 is greedy");
  command->add_option("--top-k", options->sampling.top_k, "0: off");
  command->add_option("--top-p", options->sampling.top_p, "1: off");
  command->add_option("--min-p", options->sampling.min_p, "0: off");
  command->add_option("--repetition-penalty", options->sampling.repetition_penalty, "1: off");
  command->add_option("--frequency-penalty", options->sampling.frequency_penalty,
                      "Off the logit for each time that a token was generated; 0: off");
  command->add_option("--presence-penalty", options->sampling.presence_penalty,
                      "Off the logit of every token that was generated; 0: off");
  command->add_option("--logit-bias", options->logit_bias, "TOKEN=BIAS, added to its logit; -inf bans it");
  command->add_option("--seed", options->seed, "Of the random stream")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command->add_flag("--ids", options->ids, "Print the new token ids alone, separated by spaces");
  return {command, [command, options] { return run(*command, *options); }};
}

}  // namespace plumbline::cli
