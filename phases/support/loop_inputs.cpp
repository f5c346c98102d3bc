#include "phases/support/loop_inputs.h"

#include <fmt/format.h>

#include "impl/generator.h"
#include "phases/support/subject_sampler.h"
#include "phases/support/suite.h"

namespace plumbline::phases {

std::string kind_name(CacheKind kind) {
  return kind == CacheKind::concat ? "concatenating cache" : "fixed cache";
}

std::string text_of(std::span<const TokenId> ids) {
  return fmt::format("{}", fmt::join(ids, " "));
}

std::vector<TokenId> whole_text(const Prompt& prompt) {
  std::vector<TokenId> tokens = prompt.ids;
  if (prompt.golden != nullptr)
    tokens.insert(tokens.end(), prompt.golden->greedy.begin(), prompt.golden->greedy.end());
  return tokens;
}

std::vector<std::int64_t> prefill_and_steps(std::int64_t tokens, std::int64_t prefill) {
  std::vector<std::int64_t> split{prefill};
  split.resize(static_cast<std::size_t>(1 + tokens - prefill), 1);
  return split;
}

std::vector<std::int64_t> chunks(std::int64_t tokens, std::int64_t size) {
  std::vector<std::int64_t> split(static_cast<std::size_t>(tokens / size), size);
  if (tokens % size != 0) split.push_back(tokens % size);
  return split;
}

Prompt word() {
  return prompt_like("hello", 1);
}
Prompt words() {
  return prompt_like("quick_brown", 3);
}
Prompt line() {
  return prompt_like("count", 9);
}
Prompt passage() {
  return prompt_like("prose", 37);
}

std::vector<HeadedModel> with_all_kinds_of_heads() {
  const std::filesystem::path zoo = options().fixtures / "models" / "zoo";
  return {{"checkpoint", {}}, {"mha", zoo / "mha"}, {"gqa", zoo / "gqa"}, {"mqa", zoo / "mqa"}};
}

std::optional<std::int64_t> window_of(int layer) {
  const ModelConfig& config = subject().config();
  const bool slides = config.layer_types.at(static_cast<std::size_t>(layer)) == LayerType::sliding_attention;
  return slides ? config.sliding_window : std::nullopt;
}

const Tensor& last_recorded(const Trace& trace, OpSite site) {
  return trace.steps.back().tensors.at(site);
}

GenerationOptions greedy_options(CacheKind kind) {
  GenerationOptions options;
  options.cache = kind;
  if (goldens()) {
    options.eos_token_ids = goldens()->eos_token_ids;
  } else {
    options.max_new_tokens = 8;
  }
  return options;
}

GenerationResult native_greedy(const Prompt& prompt, const GenerationOptions& options) {
  NullSink nothing;
  return native::generate(subject(), *subject_sampler(), prompt.ids, options, nothing);
}

LoopPrompts loop_prompts() {
  LoopPrompts prompts;
  prompts.line = line().ids;
  if (prompts.line.size() < 6) prompts.line = passage().ids;
  if (prompts.line.size() > 16) prompts.line.resize(16);
  prompts.other.assign(prompts.line.rbegin(), prompts.line.rend());
  const auto first = static_cast<std::int64_t>(prompts.line.front());
  prompts.other.insert(prompts.other.begin(),
                       static_cast<TokenId>((first + 1) % subject().config().vocab_size));
  return prompts;
}

TextTokenizer text_tokenizer() {
  if (options().quick && subject().config().vocab_size > 20'000)
    return {nullptr, "--quick does not read the tokenizer of a real vocabulary"};
  const Tokenizer* tokenizer = native_tokenizer();
  return {tokenizer, tokenizer == nullptr ? "the checkpoint has no tokenizer" : ""};
}

void record_loop_checks(std::string_view case_id) {
  const TextTokenizer text = text_tokenizer();
  const auto kit = native_loop_kit(subject(), text.tokenizer);
  LoopPrompts prompts = loop_prompts();
  if (options().quick) prompts.tokens = 4;  // over a real vocabulary each costs milliseconds
  for (const LoopCheck& check : all_loop_checks()) {
    if (check.case_id != case_id) continue;
    if (check.needs_text && text.tokenizer == nullptr) {
      record_skip(std::string(check.name), text.reason);
    } else {
      record_all(check.run(*kit, prompts));
    }
  }
}

}  // namespace plumbline::phases
