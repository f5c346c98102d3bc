#include "phases/support/loop_checks.h"

#include <algorithm>

#include <fmt/format.h>

#include "harness/error.h"
#include "phases/support/loop_oracle.h"

namespace plumbline::phases {
namespace {

using Tokens = std::vector<TokenId>;

// What others build on comes first: what fails first is then what is wrong.
constexpr LoopCheck kAll[] = {
    {"5C.1", "limits", false, check_limits},       {"5C.1", "end tokens", false, check_end_tokens},
    {"5C.1", "streaming", true, check_streaming},  {"5C.1", "stop strings", true, check_stop_strings},
    {"5C.1", "prefix", false, check_prefix},       {"5C.1", "empty prompt", false, check_empty_prompt},
    {"5C.1", "fork", false, check_fork},           {"5C.1", "batch", false, check_batch},
    {"5C.1", "callbacks", false, check_callbacks}, {"5C.1", "insertion", false, check_insertion},
    {"5C.1", "capture", false, check_capture},     {"5C.1", "intervention", false, check_intervention},
    {"5C.2", "turns", true, check_turns},          {"5C.2", "eviction", true, check_eviction},
};

native::GenerationOutput answer(const LoopKit& kit, native::GenerationRequest request) {
  return kit.generator(few_sequences(kit.engine()))->generate(std::move(request), nullptr);
}

bool contains(std::span<const TokenId> tokens, TokenId token) {
  return std::ranges::find(tokens, token) != tokens.end();
}

std::string stop_and_count(const native::GenerationOutput& output) {
  return fmt::format("{}, {} tokens", stop_reason_name(output.stop), output.tokens.size());
}

}  // namespace

std::span<const LoopCheck> all_loop_checks() {
  return kAll;
}

native::GenerationRequest greedy_request(native::Prompt prompt, std::int64_t tokens) {
  native::GenerationRequest request;
  request.prompt = std::move(prompt);
  request.options.max_new_tokens = tokens;
  return request;
}

Check check_skipped(std::string what, std::string reason) {
  Check check;
  check.what = std::move(what);
  check.verdict = Verdict::skipped;
  check.note = std::move(reason);
  return check;
}

std::vector<Check> check_end_tokens(const LoopKit& kit, const LoopPrompts& prompts) {
  std::vector<Check> checks;
  native::GenerationRequest request = greedy_request(prompts.line, prompts.tokens);
  const Tokens free_run = answer(kit, request).tokens;
  if (free_run.size() < 3) return {check_equal("tokens without an end token", "", "3 or more", "fewer")};
  const std::string in_prompt = "an end token in the prompt does not stop";
  const auto unchosen =
      std::ranges::find_if(prompts.line, [&](TokenId id) { return !contains(free_run, id); });
  if (unchosen == prompts.line.end()) {
    checks.push_back(check_skipped(in_prompt, "greedy chooses every token of the prompt"));
  } else {
    request.options.eos_token_ids = {*unchosen};
    checks.push_back(check_equal(in_prompt, "", ids_text(free_run), ids_text(answer(kit, request).tokens)));
  }
  // The third token that greedy chooses, declared an end token, first and last in the list.
  const std::int64_t third = free_run[2];
  const auto first_use = std::ranges::find(free_run, free_run[2]) - free_run.begin();
  for (const bool front : {true, false}) {
    request.options.eos_token_ids =
        front ? std::vector<std::int64_t>{third, -1} : std::vector<std::int64_t>{-1, third};
    checks.push_back(
        check_equal("every end token of a list stops, and is kept", front ? "first of two" : "second of two",
                    fmt::format("eos, {} tokens", first_use + 1), stop_and_count(answer(kit, request))));
  }
  return checks;
}

std::vector<Check> check_limits(const LoopKit& kit, const LoopPrompts& prompts) {
  const auto given = static_cast<std::int64_t>(prompts.line.size());
  std::vector<Check> checks;
  for (const std::int64_t most : {0, 2}) {
    checks.push_back(check_equal("max_new_tokens", std::to_string(most),
                                 fmt::format("max_new_tokens, {} tokens", most),
                                 stop_and_count(answer(kit, greedy_request(prompts.line, most)))));
  }
  native::GenerationRequest request = greedy_request(prompts.line, 0);
  request.options.max_new_tokens.reset();
  request.options.max_length = given + 2;
  checks.push_back(check_equal("max_length counts the prompt", std::to_string(given + 2),
                               "max_length, 2 tokens", stop_and_count(answer(kit, request))));
  // The last token is never fed: one more than there is room for.
  CacheSpec small = few_sequences(kit.engine());
  small.kind = CacheKind::fixed;
  small.capacity = given + 3;
  std::string ended;
  try {
    ended = stop_and_count(kit.generator(small)->generate(greedy_request(prompts.line, 100), nullptr));
  } catch (const Error& error) {
    ended = error.what();
  }
  checks.push_back(check_equal("a full context ends the text", fmt::format("room for {}", given + 3),
                               "context_full, 4 tokens", ended));
  return checks;
}

std::vector<Check> check_batch(const LoopKit& kit, const LoopPrompts& prompts) {
  std::vector<Check> checks;
  Tokens longer = prompts.other;
  longer.insert(longer.end(), prompts.line.begin(), prompts.line.end());
  std::vector<native::GenerationRequest> batch{greedy_request(prompts.line, prompts.tokens),
                                               greedy_request(prompts.other, 2),
                                               greedy_request(longer, prompts.tokens / 2)};
  std::vector<SeenTokens> together(batch.size());
  for (std::size_t i = 0; i < batch.size(); ++i) batch[i].hooks = watch(together[i]);
  StepLog log(kit.engine());
  const auto outputs = kit.generator(few_sequences(kit.engine()))->generate_batch(batch, &log);
  std::size_t wanted = 0;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const std::string subject = fmt::format("row {} of {}", i, batch.size());
    Tokens text = std::get<Tokens>(batch[i].prompt.content());
    const Tokens& made = outputs.at(i).tokens;
    text.insert(text.end(), made.begin(), made.end());
    wanted += text.size() - 1;
    checks.push_back(
        check_whole("a row of a batch is that row alone", subject, kit.engine(), text, together[i]));
    checks.push_back(check_equal("a row of a batch ends at its own end", subject,
                                 fmt::format("max_new_tokens, {} tokens", *batch[i].options.max_new_tokens),
                                 stop_and_count(outputs.at(i))));
  }
  checks.push_back(check_equal("a row that has ended is computed no more", "", std::to_string(wanted),
                               std::to_string(log.fed().size())));
  return checks;
}

}  // namespace plumbline::phases
