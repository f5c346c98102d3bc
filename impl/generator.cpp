#include "impl/generator.h"

#include <sys/resource.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/generation/loop.h"
#include "impl/sampler.h"

namespace plumbline::native {
namespace {

CacheSpec with_capacity(CacheSpec spec, const Engine& engine) {
  if (spec.kind == CacheKind::fixed && spec.capacity == 0)
    spec.capacity = engine.config().max_position_embeddings;
  return spec;
}

std::int64_t peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

void require_vocabulary(std::span<const TokenId> tokens, const Engine& engine) {
  const std::int64_t vocab = engine.config().vocab_size;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || tokens[i] >= vocab) {
      throw Error(fmt::format("token {} is {}, and the vocabulary has {}", i, tokens[i], vocab), "prompt");
    }
  }
}

void require_room(std::int64_t tokens, const Context& context) {
  if (tokens > context.limit()) {
    throw Error(fmt::format("the prompt has {} tokens, the context {}", tokens, context.limit()), "generate",
                "shorten it, or forget the oldest part");
  }
}

std::vector<GenerationOutput> run(Engine& engine, Sampler& sampler, std::span<Row> rows, StepSink* sink,
                                  std::int64_t prefill_chunk) {
  SinkList sinks;
  if (sink != nullptr) sinks.add(*sink);
  run_loop(engine, sampler, rows, sinks, prefill_chunk);
  std::vector<GenerationOutput> outputs;
  for (Row& row : rows) {
    outputs.push_back(row.take_output());
    outputs.back().peak_memory = peak_memory();
  }
  return outputs;
}

GenerationOutput nothing_to_continue() {
  GenerationOutput output;
  output.stop = StopReason::no_prompt;
  return output;
}

}  // namespace

Generator::Generator(Engine& engine, const Tokenizer* tokenizer, GeneratorSettings settings)
    : engine_(&engine),
      tokenizer_(tokenizer),
      settings_(std::move(settings)),
      sampler_(sampler_for(engine, settings_.seed)),
      context_(std::make_shared<ContextCache>(engine, with_capacity(settings_.cache, engine))) {
  if (settings_.prefill_chunk < 1)
    throw Error(fmt::format("prefill_chunk is {}", settings_.prefill_chunk), "generator");
}

Generator::Generator(const Generator& other, Context context)
    : engine_(other.engine_),
      tokenizer_(other.tokenizer_),
      settings_(other.settings_),
      sampler_(other.sampler_),
      context_(std::move(context)),
      system_(other.system_) {}

Generator Generator::fork() const {
  return {*this, context_.fork()};
}

const Tokenizer& Generator::require_tokenizer() const {
  if (tokenizer_ == nullptr)
    throw Error("text needs a tokenizer", "generator", "without one, prompts are token ids");
  return *tokenizer_;
}

PrefixReport Generator::cache_system_prompt(std::string_view text, StepSink* sink) {
  const std::vector<ChatMessage> messages{{"system", std::string(text)}};
  const PrefixReport report =
      cache_prefix(require_tokenizer().encode(tokenizer_->render_chat(messages, false)), sink);
  system_ = text;
  return report;
}

PrefixReport Generator::cache_prefix(std::span<const TokenId> tokens, StepSink* sink) {
  require_vocabulary(tokens, *engine_);
  require_room(static_cast<std::int64_t>(tokens.size()), context_);
  return read(context_.assign(tokens), sink);
}

PrefixReport Generator::extend(std::span<const TokenId> tokens, StepSink* sink) {
  require_vocabulary(tokens, *engine_);
  require_room(context_.length() + static_cast<std::int64_t>(tokens.size()), context_);
  const std::int64_t reused = context_.cached();
  context_.append(tokens);
  return read(reused, sink);
}

PrefixReport Generator::read(std::int64_t reused, StepSink* sink) {
  PrefixReport report{context_.length(), reused, 0};
  SinkList sinks;
  if (sink != nullptr) sinks.add(*sink);
  try {
    while (context_.pending() > 0) {
      SequenceStep step = context_.next_step(settings_.prefill_chunk);
      step.logits = LogitsWanted::none;
      sinks.begin({&step, 1});
      engine_->forward({&step, 1}, context_.cache(), sinks);
      report.processed += static_cast<std::int64_t>(step.tokens.size());
    }
  } catch (...) {
    context_.crop(context_.cached());
    throw;
  }
  return report;
}

void Generator::crop(std::int64_t length) {
  context_.crop(length);
}

void Generator::reseed(std::uint64_t seed) {
  settings_.seed = seed;
  sampler_ = sampler_for(*engine_, seed);
}

void Generator::clear() {
  context_.clear();
  system_.reset();
}

std::vector<TokenId> Generator::tokens_of(const Prompt& prompt) const {
  if (const auto* ids = std::get_if<std::vector<TokenId>>(&prompt.content())) return *ids;
  std::vector<ChatMessage> messages;
  if (const auto* text = std::get_if<std::string>(&prompt.content())) {
    if (!system_) return require_tokenizer().encode(*text);
    messages = {{"user", *text}};
  } else {
    messages = std::get<std::vector<ChatMessage>>(prompt.content());
  }
  const bool brings_one = !messages.empty() && messages.front().role == "system";
  if (system_ && !brings_one) messages.insert(messages.begin(), {"system", *system_});
  return require_tokenizer().encode(tokenizer_->render_chat(messages, true));
}

bool Generator::start_token(Context& context) const {
  const ModelConfig& config = engine_->config();
  std::optional<std::int64_t> first = config.bos_token_id;
  if (!first && !config.eos_token_ids.empty()) first = config.eos_token_ids.front();
  if (!first) return false;
  const auto token = static_cast<TokenId>(*first);
  context.append({&token, 1});
  return true;
}

std::optional<std::int64_t> Generator::take_up(const Prompt& prompt, Context& context) const {
  const auto* text = std::get_if<std::string>(&prompt.content());
  const bool is_empty = text != nullptr && text->empty();
  const std::vector<TokenId> tokens = is_empty ? std::vector<TokenId>() : tokens_of(prompt);
  const std::int64_t held = context.length();
  if (tokens.empty()) {
    if (held == 0 && !start_token(context)) return std::nullopt;
    return held;
  }
  require_vocabulary(tokens, *engine_);
  require_room(static_cast<std::int64_t>(tokens.size()) + (prompt.is_more() ? held : 0), context);
  if (!prompt.is_more()) return context.assign(tokens);
  context.append(tokens);
  return held;
}

GenerationOutput Generator::generate(GenerationRequest request, StepSink* sink) {
  const Clock::time_point start = Clock::now();
  validate(request, tokenizer_ != nullptr);
  const auto settled = take_up(request.prompt, context_);
  if (!settled) return nothing_to_continue();
  Row row(0, context_, *settled, std::move(request), tokenizer_, start);
  return run(*engine_, *sampler_, {&row, 1}, sink, settings_.prefill_chunk).front();
}

std::vector<GenerationOutput> Generator::generate(std::span<const GenerationRequest> batch, StepSink* sink) {
  const Clock::time_point start = Clock::now();
  for (const GenerationRequest& each : batch) validate(each, tokenizer_ != nullptr);
  std::vector<Context> contexts;  // of the rows; none moves once a row points to it
  contexts.reserve(batch.size());
  std::vector<Row> rows;
  std::vector<std::size_t> numbers;  // of the rows that have something to continue
  for (std::size_t i = 0; i < batch.size(); ++i) {
    contexts.push_back(context_.fork());
    const auto settled = take_up(batch[i].prompt, contexts.back());
    if (!settled) continue;
    rows.emplace_back(i, contexts.back(), *settled, batch[i], tokenizer_, start);
    numbers.push_back(i);
  }
  std::vector<GenerationOutput> outputs(batch.size(), nothing_to_continue());
  std::vector<GenerationOutput> made = run(*engine_, *sampler_, rows, sink, settings_.prefill_chunk);
  for (std::size_t i = 0; i < made.size(); ++i) outputs[numbers[i]] = std::move(made[i]);
  return outputs;
}

}  // namespace plumbline::native
