#include <algorithm>
#include <filesystem>
#include <iostream>

#include <fmt/format.h>

#include "cli/chat.h"
#include "cli/generate_options.h"
#include "cli/interrupt.h"
#include "cli/verbs.h"
#include "harness/output_file.h"
#include "impl/generation/conversation.h"
#include "reference/generator.h"
#include "reference/sampler.h"

namespace plumbline::cli {
namespace {

constexpr std::int64_t kConversationTokens = 4096;  // in a fixed cache, without --context-limit

native::WhenLong when_long(const std::string& name) {
  if (name == "recompute") return native::WhenLong::recompute;
  if (name == "keep") return native::WhenLong::keep;
  if (name == "refuse") return native::WhenLong::refuse;
  throw Error("unknown way '" + name + "'", "--when-long", "recompute, keep or refuse");
}

// `tokens`: room of a fixed cache, all of whose memory is there from the start; no more than the model's
// context.
native::GeneratorSettings settings_of(const GenerateOptions& options, std::int64_t tokens,
                                      const Engine& engine) {
  native::GeneratorSettings settings;
  settings.cache.kind = cache_kind(options.cache);
  settings.cache.dtype = engine.info().storage;
  settings.cache.max_sequences = options.is_conversation() ? 2 : 1;
  if (settings.cache.kind == CacheKind::fixed)
    settings.cache.capacity = std::clamp<std::int64_t>(tokens, 1, engine.config().max_position_embeddings);
  settings.seed = options.seed;
  return settings;
}

std::unique_ptr<Engine> engine_of(const GenerateOptions& options) {
  return make_engine(options.engine, options.model, dtype_from_name(options.dtype), options.threads,
                     options.isa, /*stream=*/false, options.device);
}

int finish(StopReason reason) {
  return reason == StopReason::interrupted ? kExitInterrupted : 0;
}

int run_conversation(const CLI::App& command, const GenerateOptions& options) {
  if (!options.save.empty()) require_writable(options.save);
  GenerationOptions generation = effective_options(command, options);
  const native::WhenLong long_way = when_long(options.when_long);
  const auto tokenizer = load_tokenizer("native", options.model);
  const auto engine = engine_of(options);
  const std::int64_t room = options.limit > 0 ? options.limit : kConversationTokens;
  native::Generator generator(*engine, tokenizer.get(), settings_of(options, room, *engine));
  const auto begin = [&]() -> native::Conversation {
    if (!options.load.empty()) return native::Conversation::load(options.load, generator);
    native::ConversationSettings settings;
    settings.options = generation;
    if (options.has_system) settings.system = options.prompt.system;
    settings.limit = options.limit;
    return native::Conversation(generator, settings);
  };
  native::Conversation conversation = begin();
  native::ConversationSettings& settings = conversation.settings();
  override_options(command, options, settings.options);
  if (command.count("--stop") > 0 || options.load.empty()) settings.stop_strings = options.stop;
  if (command.count("--context-limit") > 0) settings.limit = options.limit;
  if (command.count("--when-long") > 0) settings.when_long = long_way;
  if (options.load.empty() || command.count("--seed") > 0) conversation.reseed(options.seed);
  const auto say_what_applied = [&] {
    const std::uint64_t seed = conversation.generator().settings().seed;
    std::cerr << "plumbline: " << describe(settings.options, seed) << '\n';
  };

  Listeners listeners(*engine, options.listeners);
  const InterruptGuard guard;
  int status = 0;
  if (options.interactive) {
    say_what_applied();
    status = converse(conversation, options.timed, listeners.sink());
  } else if (options.ids) {
    native::GenerationHooks hooks;
    hooks.interrupt = InterruptGuard::flag();
    const native::GenerationOutput output = conversation.say(options.prompt.prompt, hooks, listeners.sink());
    std::cout << join(output.tokens) << '\n';
    status = finish(output.stop);
  } else {
    status = finish(say(conversation, options.prompt.prompt, options.timed, listeners.sink()).stop);
    say_what_applied();
  }
  if (!options.save.empty()) conversation.save(options.save);
  listeners.finish();
  return status;
}

int run_reference(const CLI::App& command, const GenerateOptions& options) {
  const GenerationOptions generation = effective_options(command, options);
  const std::vector<TokenId> prompt =
      prompt_tokens(options.prompt, options.has_prompt, options.has_system, options.model);
  const auto engine = engine_of(options);
  require_context(prompt, engine->config());
  const GenerationResult result =
      reference::generate(*engine, *reference::make_sampler(options.seed), prompt, generation);
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

// What the new tokens may need at most.
std::int64_t room_for(const GenerationOptions& options, std::size_t prompt, const Engine& engine) {
  if (options.max_new_tokens) return static_cast<std::int64_t>(prompt) + *options.max_new_tokens;
  return options.max_length.value_or(engine.config().max_position_embeddings);
}

int run_prompt(const CLI::App& command, const GenerateOptions& options) {
  native::GenerationRequest request;
  request.options = effective_options(command, options);
  request.stop_strings = options.stop;
  request.skip_special_tokens = false;
  const bool has_text =
      options.has_prompt || std::filesystem::exists(std::filesystem::path(options.model) / "tokenizer.json");
  const auto tokenizer = has_text ? load_tokenizer("native", options.model) : nullptr;
  const std::vector<TokenId> prompt =
      options.has_prompt ? tokenizer->encode(options.prompt.prompt) : parse_tokens(options.prompt.tokens);
  if (!prompt.empty()) request.prompt = prompt;  // else it begins with the model's first token
  const auto engine = engine_of(options);
  require_context(prompt, engine->config());
  const std::int64_t room = room_for(request.options, std::max<std::size_t>(prompt.size(), 1), *engine);
  native::Generator generator(*engine, tokenizer.get(), settings_of(options, room, *engine));
  const bool streams = has_text && !options.ids;
  if (streams) request.hooks.on_text = [](std::string_view text) { std::cout << text << std::flush; };
  Listeners listeners(*engine, options.listeners);
  const InterruptGuard guard;
  request.hooks.interrupt = InterruptGuard::flag();
  const std::string applied = describe(request.options, options.seed);
  const native::GenerationOutput output = generator.generate(std::move(request), listeners.sink());
  std::cout << (streams ? "" : join(output.tokens)) << std::endl;
  if (!options.ids) std::cerr << "plumbline: " << applied << '\n';
  if (streams)
    std::cerr << fmt::format("plumbline: {} tokens, stopped by {}\n", output.tokens.size(),
                             stop_reason_name(output.stop));
  if (options.timed) std::cerr << describe_timings(output);
  listeners.finish();
  return finish(output.stop);
}

int run(const CLI::App& command, GenerateOptions& options) {
  complete(command, options);
  if (options.engine == "reference") return run_reference(command, options);
  return options.is_conversation() ? run_conversation(command, options) : run_prompt(command, options);
}

}  // namespace

Verb add_generate(CLI::App& app) {
  const auto options = std::make_shared<GenerateOptions>();
  CLI::App* command = app.add_subcommand("generate", "Continue a prompt, or hold a conversation");
  command->footer(
      "Examples:\n  plumbline generate --model fixtures/models/tiny --prompt '1 2 3 4 5'\n"
      "  plumbline generate --model fixtures/models/tiny --interactive");
  add_generate_options(*command, *options);
  return {command, [command, options] { return run(*command, *options); }};
}

}  // namespace plumbline::cli
