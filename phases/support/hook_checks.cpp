// What callbacks see and do.
#include <algorithm>

#include <fmt/format.h>

#include "phases/support/loop_checks.h"
#include "phases/support/loop_oracle.h"

namespace plumbline::phases {
namespace {

using Tokens = std::vector<TokenId>;

std::unique_ptr<TestedGenerator> fresh(const LoopKit& kit) {
  return kit.generator(few_sequences(kit.engine()));
}

Tokens joined(Tokens first, std::span<const TokenId> second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

}  // namespace

std::vector<Check> check_callbacks(const LoopKit& kit, const LoopPrompts& prompts) {
  std::vector<Check> checks;
  // Logits edited and penalised: the callback sees what the engine made, and the sampler what was edited.
  const auto generator = fresh(kit);
  SeenTokens seen;
  native::GenerationRequest request = greedy_request(prompts.line, 4);
  request.hooks = watch(seen);
  const TokenId wanted = prompts.other[0];
  request.hooks.on_logits = [&](native::LogitsEvent& event) {
    event.logits[static_cast<std::size_t>(wanted)] = event.index == 1 ? 1e6f : event.logits[0];
  };
  request.options.sampling.presence_penalty = 0.25;
  generator->generate(request, nullptr);
  const Tokens text = generator->tokens();
  const auto vocab = kit.engine().config().vocab_size;
  const Tensor logits =
      Tensor::from<float>(DType::f32, {static_cast<std::int64_t>(seen.tokens.size()), vocab}, seen.logits);
  const Tensor expected =
      whole_text_logits(kit.engine(), text, static_cast<std::int64_t>(prompts.line.size()) - 1);
  checks.push_back(
      check_bits("a callback sees the engine's logits", "edited and penalised", logits, expected));
  checks.push_back(check_equal("edited logits decide", "the second token", std::to_string(wanted),
                               seen.tokens.size() > 1 ? std::to_string(seen.tokens[1]) : "none"));
  // A token forced in the place of the second: what follows has read it.
  const auto forced = fresh(kit);
  SeenTokens after;
  request = greedy_request(prompts.line, 4);
  request.hooks = watch(after);
  request.hooks.on_token = [watching = request.hooks.on_token, wanted](const native::TokenEvent& event) {
    native::TokenAction action = watching(event);
    if (event.index == 1) action.force = wanted;
    return action;
  };
  const native::GenerationOutput output = forced->generate(request, nullptr);
  after.tokens = output.tokens;
  const Tokens held = joined(prompts.line, output.tokens);
  checks.push_back(check_equal("a forced token is read", "the second token", fmt::format("{}", wanted),
                               fmt::format("{}", output.tokens.at(1))));
  const Tensor shown =
      Tensor::from<float>(DType::f32, {static_cast<std::int64_t>(after.tokens.size()), vocab}, after.logits);
  checks.push_back(
      check_bits("what follows a forced token has read it", "", shown,
                 whole_text_logits(kit.engine(), held, static_cast<std::int64_t>(prompts.line.size()) - 1)));
  // And one that ends it.
  request.hooks.on_token = [](const native::TokenEvent& event) {
    return native::TokenAction{.stop = event.index == 2};
  };
  const native::GenerationOutput ended = fresh(kit)->generate(request, nullptr);
  checks.push_back(
      check_equal("a callback ends the text", "at the third token", "callback, 3 tokens",
                  fmt::format("{}, {} tokens", stop_reason_name(ended.stop), ended.tokens.size())));
  return checks;
}

std::vector<Check> check_insertion(const LoopKit& kit, const LoopPrompts& prompts) {
  const auto generator = fresh(kit);
  SeenTokens seen;
  native::GenerationRequest request = greedy_request(prompts.line, 4);
  request.hooks = watch(seen);
  request.hooks.on_token = [watching = request.hooks.on_token, &prompts](const native::TokenEvent& event) {
    native::TokenAction action = watching(event);
    if (event.index == 1) action.insert = prompts.other;
    return action;
  };
  StepLog log(kit.engine());
  const Tokens made = generator->generate(request, &log).tokens;
  Tokens expected = joined(prompts.line, {made.data(), std::min<std::size_t>(made.size(), 2)});
  expected = joined(expected, prompts.other);
  const std::size_t before = expected.size();
  if (made.size() > 2) expected = joined(expected, {made.data() + 2, made.size() - 2});
  Tokens fed = expected;
  fed.pop_back();
  std::vector<Check> checks{check_equal("an insertion is read behind the token before it", "", ids_text(fed),
                                        ids_text(log.tokens()))};
  // Of the tokens behind the insertion.
  const auto vocab = static_cast<std::size_t>(kit.engine().config().vocab_size);
  SeenTokens behind;
  for (std::size_t i = 2; i < seen.tokens.size(); ++i) behind.tokens.push_back(seen.tokens[i]);
  if (seen.tokens.size() > 2)
    behind.logits.assign(seen.logits.begin() + static_cast<std::ptrdiff_t>(2 * vocab), seen.logits.end());
  checks.push_back(check_whole("what follows an insertion is a recompute's",
                               fmt::format("{} tokens before it", before), kit.engine(), expected, behind));
  return checks;
}

}  // namespace plumbline::phases
