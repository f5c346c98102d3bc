#include "cli/generate_options.h"

#include <algorithm>
#include <charconv>
#include <climits>

#include <fmt/format.h>

#include "impl/config.h"

namespace plumbline::cli {
namespace {

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

void add_sampling_options(CLI::App& command, GenerateOptions& options) {
  SamplingParams& sampling = options.sampling;
  command.add_option("--temperature", sampling.temperature, "0 is greedy");
  command.add_option("--top-k", sampling.top_k, "0: off");
  command.add_option("--top-p", sampling.top_p, "1: off");
  command.add_option("--min-p", sampling.min_p, "0: off");
  command.add_option("--repetition-penalty", sampling.repetition_penalty, "1: off");
  command.add_option("--frequency-penalty", sampling.frequency_penalty,
                     "Off the logit for each time that a token was generated; 0: off");
  command.add_option("--presence-penalty", sampling.presence_penalty,
                     "Off the logit of every token that was generated; 0: off");
  command.add_option("--logit-bias", options.logit_bias, "TOKEN=BIAS, added to its logit; -inf bans it");
  command.add_option("--seed", options.seed, "Of the random stream")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
}

void add_conversation_options(CLI::App& command, GenerateOptions& options) {
  command.add_option("--system", options.prompt.system, "System text: --prompt becomes a user's turn");
  command.add_flag("--interactive", options.interactive, "A conversation: a turn for each line of input");
  command.add_option("--save", options.save, "Save the conversation to this file at the end");
  command.add_option("--load", options.load, "Go on with a saved conversation");
  command
      .add_option("--context-limit", options.limit,
                  "Tokens that a conversation may hold; 0: the model's context")
      ->check(CLI::NonNegativeNumber);
  command
      .add_option(
          "--when-long", options.when_long,
          "What goes when a conversation gets too long: recompute (without its oldest turns), keep (what "
          "attended to them), refuse")
      ->capture_default_str();
}

}  // namespace

void add_generate_options(CLI::App& command, GenerateOptions& options) {
  command.add_option("--model", options.model, "Checkpoint directory")->required();
  command.add_option("--prompt", options.prompt.prompt, "Text to continue");
  command.add_option("--tokens", options.prompt.tokens, "Token ids to continue, as in 1,2,3");
  command.add_option("--max-new-tokens", options.max_new_tokens, "At most this many")
      ->capture_default_str()
      ->check(CLI::Range(1, INT_MAX));
  command
      .add_option("--max-length", options.max_length,
                  "At most this many with the prompt; --max-new-tokens wins over it")
      ->check(CLI::Range(1, INT_MAX));
  command.add_option("--stop", options.stop, "Stop before this text; may be given several times");
  command.add_option("--engine", options.engine, "cpu, cuda or reference")->capture_default_str();
  command.add_option("--cache", options.cache, "concat or fixed")->capture_default_str();
  command
      .add_option("--dtype", options.dtype,
                  "What weights, activations and cache are kept in: f32, bf16 or f16")
      ->capture_default_str();
  command.add_option("--device", options.device, "Where the reference computes: cpu or cuda");
  command.add_option("--threads", options.threads, "0: one for each core")->capture_default_str();
  command.add_option("--isa", options.isa, "Instruction set of the cpu engine; plumbline info lists them");
  add_sampling_options(command, options);
  add_conversation_options(command, options);
  command.add_option("--capture", options.listeners.capture,
                     "Record these probes, as in '*.mlp_residual'; may be given several times");
  command.add_option("--capture-dir", options.listeners.capture_dir, "Where --capture writes its shards");
  command.add_flag("--summary", options.listeners.summary,
                   "Print statistics of the residual stream, layer by layer");
  command.add_flag("--timed", options.timed, "Say how fast it was, and what memory it took");
  command.add_flag("--ids", options.ids, "Print the new token ids alone, separated by spaces");
}

void complete(const CLI::App& command, GenerateOptions& options) {
  options.has_prompt = command.count("--prompt") > 0;
  options.has_system = command.count("--system") > 0;
  const bool has_tokens = command.count("--tokens") > 0;
  if (options.interactive) {
    if (options.has_prompt || has_tokens) throw Error("reads its turns from standard input", "--interactive");
    if (options.ids) throw Error("shows text, not ids", "--interactive");
  } else if (options.has_prompt == has_tokens) {
    throw Error("give one of --prompt and --tokens", "prompt");
  }
  if (has_tokens && options.is_conversation()) {
    throw Error("goes with --prompt, not with --tokens", options.has_system     ? "--system"
                                                         : options.save.empty() ? "--load"
                                                                                : "--save");
  }
  if (options.has_system && !options.load.empty())
    throw Error("the saved conversation has its own system text", "--system", "leave it out with --load");
  if (std::ranges::any_of(options.stop, &std::string::empty))
    throw Error("is empty", "--stop", "it would stop before the first token");
  const bool reference = options.engine == "reference";
  if (reference && options.is_conversation() && !options.has_system)
    throw Error("the reference holds no conversations", "--engine", "cpu or cuda");
  if (reference && !options.stop.empty()) throw Error("the reference knows no stop strings", "--stop");
  if (reference && (options.listeners.summary || !options.listeners.capture.empty()))
    throw Error("the reference's text is not recorded", "--engine", "plumbline trace records it");
  if (reference && options.timed) throw Error("the reference is not for speed", "--timed");
}

CacheKind cache_kind(const std::string& name) {
  if (name == "concat") return CacheKind::concat;
  if (name == "fixed") return CacheKind::fixed;
  throw Error("unknown cache '" + name + "'", "--cache", "concat or fixed");
}

void override_options(const CLI::App& command, const GenerateOptions& options, GenerationOptions& effective) {
  SamplingParams& sampling = effective.sampling;
  const auto given = [&](const char* name) { return command.count(name) > 0; };
  if (given("--temperature")) sampling.temperature = options.sampling.temperature;
  if (given("--top-k")) sampling.top_k = options.sampling.top_k;
  if (given("--top-p")) sampling.top_p = options.sampling.top_p;
  if (given("--min-p")) sampling.min_p = options.sampling.min_p;
  if (given("--repetition-penalty")) sampling.repetition_penalty = options.sampling.repetition_penalty;
  if (given("--frequency-penalty")) sampling.frequency_penalty = options.sampling.frequency_penalty;
  if (given("--presence-penalty")) sampling.presence_penalty = options.sampling.presence_penalty;
  if (given("--logit-bias")) sampling.logit_bias.clear();
  for (const std::string& text : options.logit_bias) sampling.logit_bias.push_back(logit_bias(text));
  validate(sampling);
  if (given("--max-new-tokens")) {
    effective.max_new_tokens = options.max_new_tokens;
  } else if (given("--max-length")) {
    effective.max_new_tokens.reset();
  }
  if (given("--max-length")) effective.max_length = options.max_length;
}

GenerationOptions effective_options(const CLI::App& command, const GenerateOptions& options) {
  const GenerationDefaults defaults =
      native::load_generation_config(options.model, native::load_config(options.model));
  GenerationOptions effective;
  effective.sampling.repetition_penalty = defaults.repetition_penalty;
  if (defaults.do_sample) {
    effective.sampling.temperature = defaults.temperature;
    effective.sampling.top_k = defaults.top_k;
    effective.sampling.top_p = defaults.top_p;
    effective.sampling.min_p = defaults.min_p;
  }
  effective.max_new_tokens = options.max_new_tokens;
  effective.max_length = defaults.max_length;
  if (defaults.max_new_tokens) {
    effective.max_new_tokens = *defaults.max_new_tokens;
  } else if (defaults.max_length) {
    effective.max_new_tokens.reset();
  }
  effective.eos_token_ids = defaults.eos_token_ids;
  effective.cache = cache_kind(options.cache);
  override_options(command, options, effective);
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
  if (options.max_new_tokens) {
    text += fmt::format("; at most {} new tokens", *options.max_new_tokens);
  } else if (options.max_length) {
    text += fmt::format("; at most {} tokens with the prompt", *options.max_length);
  }
  return text + fmt::format("; ends at [{}]", fmt::join(options.eos_token_ids, ", "));
}

}  // namespace plumbline::cli
