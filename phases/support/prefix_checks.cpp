// What is cached, and what is made of it: empty prompts, common prefixes, forks.
#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "phases/support/loop_checks.h"
#include "phases/support/loop_oracle.h"

namespace plumbline::phases {
namespace {

using Tokens = std::vector<TokenId>;

}  // namespace

std::vector<Check> check_empty_prompt(const LoopKit& kit, const LoopPrompts& prompts) {
  std::vector<Check> checks;
  const auto generator = kit.generator(few_sequences(kit.engine()));
  const std::int64_t half = prompts.tokens / 2;
  Tokens both = generator->generate(greedy_request(prompts.line, half), nullptr).tokens;
  const Tokens more = generator->generate(greedy_request({}, prompts.tokens - half), nullptr).tokens;
  both.insert(both.end(), more.begin(), more.end());
  checks.push_back(check_equal("an empty prompt goes on from what is held", "",
                               ids_text(kit.generator(few_sequences(kit.engine()))
                                            ->generate(greedy_request(prompts.line, prompts.tokens), nullptr)
                                            .tokens),
                               ids_text(both)));
  const ModelConfig& config = kit.engine().config();
  std::optional<std::int64_t> first = config.bos_token_id;
  if (!first && !config.eos_token_ids.empty()) first = config.eos_token_ids.front();
  const auto empty = kit.generator(few_sequences(kit.engine()));
  const native::GenerationOutput output = empty->generate(greedy_request({}, 2), nullptr);
  const std::string expected =
      first ? fmt::format("max_new_tokens, 2 tokens, from {}", *first) : "no_prompt, 0 tokens";
  std::string actual = fmt::format("{}, {} tokens", stop_reason_name(output.stop), output.tokens.size());
  if (!output.tokens.empty()) actual += fmt::format(", from {}", empty->tokens().front());
  checks.push_back(
      check_equal("an empty prompt over nothing begins with the model's own token", "", expected, actual));
  return checks;
}

std::vector<Check> check_prefix(const LoopKit& kit, const LoopPrompts& prompts) {
  std::vector<Check> checks;
  const auto generator = kit.generator(few_sequences(kit.engine()));
  const auto read = [&](const Tokens& prompt, const std::string& subject) {
    SeenTokens seen;
    native::GenerationRequest request = greedy_request(prompt, prompts.tokens);
    request.hooks = watch(seen);
    const Tokens before = generator->tokens();
    StepLog log(kit.engine());
    generator->generate(request, &log);
    // All that is held but the last token is cached; where all of the prompt is, its last is computed anew.
    const auto same = std::ranges::mismatch(before, prompt).in2 - prompt.begin();
    const std::int64_t cached = std::min<std::int64_t>(same, static_cast<std::int64_t>(before.size()) - 1);
    const std::int64_t kept =
        std::clamp<std::int64_t>(cached, 0, static_cast<std::int64_t>(prompt.size()) - 1);
    const Tokens text = generator->tokens();
    checks.push_back(
        check_equal("what is cached is not computed again", subject,
                    ids_text({text.data() + kept, text.size() - 1 - static_cast<std::size_t>(kept)}),
                    ids_text(log.tokens())));
    std::vector<std::int64_t> positions;
    for (std::int64_t i = kept; i + 1 < static_cast<std::int64_t>(text.size()); ++i) positions.push_back(i);
    checks.push_back(check_equal("positions count on behind the cached prefix", subject,
                                 fmt::format("{}", fmt::join(positions, " ")),
                                 fmt::format("{}", fmt::join(log.positions(), " "))));
    checks.push_back(
        check_whole("an answer behind a cached prefix is a recompute's", subject, kit.engine(), text, seen));
  };
  read(prompts.line, "nothing cached");
  read(prompts.line, "all of the prompt cached");
  Tokens longer = prompts.line;
  longer.insert(longer.end(), prompts.other.begin(), prompts.other.end());
  read(longer, "the prompt's beginning cached");
  Tokens forked(longer.begin(), longer.begin() + static_cast<std::ptrdiff_t>(longer.size() / 2));
  forked.push_back(forked.back() == prompts.other[0] ? prompts.line[0] : prompts.other[0]);
  read(forked, "the other half of the cache not wanted");
  read(prompts.other, "nothing in common");
  return checks;
}

std::vector<Check> check_fork(const LoopKit& kit, const LoopPrompts& prompts) {
  std::vector<Check> checks;
  const auto one = kit.generator(few_sequences(kit.engine()));
  one->generate(greedy_request(prompts.line, 2), nullptr);
  const auto two = one->fork();
  Tokens reversed(prompts.other.rbegin(), prompts.other.rend());
  reversed.push_back(prompts.line[0]);
  const auto go_on = [&](TestedGenerator& generator, const Tokens& tokens, const std::string& subject) {
    SeenTokens seen;
    native::GenerationRequest request = greedy_request(native::Prompt::more(tokens), prompts.tokens / 2);
    request.hooks = watch(seen);
    generator.generate(request, nullptr);
    checks.push_back(check_whole("a fork is independent", subject, kit.engine(), generator.tokens(), seen));
  };
  // In turns: what one writes, the other must not see.
  go_on(*one, prompts.other, "the first");
  go_on(*two, reversed, "its fork");
  go_on(*one, prompts.line, "the first again");
  go_on(*two, prompts.other, "its fork again");
  return checks;
}

}  // namespace plumbline::phases
