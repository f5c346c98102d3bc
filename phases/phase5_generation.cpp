// Phase 5: the loop. Greedy and sampled text over the caches against the golden text and the reference's full
// recompute; every decode step judged op by op like a prefill.
#include <fmt/format.h>
#include <catch2/catch.hpp>

#include "harness/checks.h"
#include "harness/explain.h"
#include "impl/generator.h"
#include "impl/sampler.h"
#include "phases/support/loop_inputs.h"
#include "phases/support/sides.h"
#include "phases/support/suite.h"
#include "reference/generator.h"
#include "reference/sampler.h"

namespace plumbline::phases {

void prepare() {
  load_sides(LoadTokenizers::when_asked_for);
}

TEST_CASE("5C.1 the loop, stopping: greedy text over the cache is the golden text and the reference's",
          "[5C.1]") {
  const std::size_t most = options().quick ? 2 : 40;
  for (const Prompt& prompt : all_prompts()) {
    GenerationOptions options = greedy_options(CacheKind::concat);
    if (prompt.golden != nullptr) options.max_new_tokens = prompt.golden->max_new_tokens;
    const GenerationResult native_result = native_greedy(prompt, options);
    if (prompt.golden != nullptr) {
      record_equal("tokens, native and golden", prompt.name, text_of(prompt.golden->greedy),
                   text_of(native_result.tokens));
      record_equal("reason for stopping", prompt.name, stop_reason_name(prompt.golden->stop),
                   stop_reason_name(native_result.stop));
    }
    record_equal("cache length is one behind the tokens", prompt.name,
                 std::to_string(prompt.ids.size() + native_result.tokens.size() - 1),
                 std::to_string(native_result.cache_length));
    if (prompt.ids.size() > most) continue;  // the reference recomputes everything at each step
    const GenerationResult reference_result =
        reference::generate(reference(), *reference::make_sampler(), prompt.ids, options);
    record_equal("tokens, native and reference", prompt.name, text_of(reference_result.tokens),
                 text_of(native_result.tokens));
  }
}

TEST_CASE("5C.1 the loop, stopping: sampled text is the same on both sides when the uniforms are", "[5C.1]") {
  GenerationOptions options = greedy_options(CacheKind::concat);
  options.max_new_tokens = phases::options().quick ? 4 : 24;
  options.sampling.temperature = 1.0;
  options.sampling.top_k = 20;
  options.sampling.top_p = 0.95;
  for (int i = 0; i < 24; ++i) options.uniforms.push_back((i * 37 % 100 + 0.5) / 100);
  for (const Prompt& prompt : {word(), words()}) {
    record_equal(
        "sampled tokens", prompt.name,
        text_of(reference::generate(reference(), *reference::make_sampler(), prompt.ids, options).tokens),
        text_of(native_greedy(prompt, options).tokens));
  }
}

TEST_CASE("5C.1 the loop, stopping: every end token stops, one inside the prompt does not", "[5C.1]") {
  const Prompt prompt = line();
  GenerationOptions options = greedy_options(CacheKind::concat);
  options.max_new_tokens = 8;
  const GenerationResult free_run = native_greedy(prompt, options);
  REQUIRE(free_run.tokens.size() == 8);
  // The third token that greedy chooses, declared an end token, first and last in the list.
  const std::int64_t third = free_run.tokens[2];
  const auto first_use = static_cast<std::size_t>(
      std::find(free_run.tokens.begin(), free_run.tokens.end(), static_cast<TokenId>(third)) -
      free_run.tokens.begin());
  for (const bool front : {true, false}) {
    GenerationOptions stopping = options;
    stopping.eos_token_ids =
        front ? std::vector<std::int64_t>{third, -1} : std::vector<std::int64_t>{-1, third};
    const GenerationResult result = native_greedy(prompt, stopping);
    const std::string name = front ? "first of two end tokens" : "second of two end tokens";
    record_equal("reason for stopping", name, "eos", stop_reason_name(result.stop));
    record_equal("tokens kept, the end token too", name, std::to_string(first_use + 1),
                 std::to_string(result.tokens.size()));
  }
  // A token of the prompt that greedy does not choose by itself: as an end token it must change nothing.
  const auto chosen = [&](TokenId id) {
    return std::find(free_run.tokens.begin(), free_run.tokens.end(), id) != free_run.tokens.end();
  };
  const auto unchosen = std::find_if_not(prompt.ids.begin(), prompt.ids.end(), chosen);
  if (unchosen == prompt.ids.end()) {
    return record_skip("an end token in the prompt", "greedy chooses every token of the prompt");
  }
  GenerationOptions in_prompt = options;
  in_prompt.eos_token_ids = {*unchosen};
  record_equal("an end token in the prompt", prompt.name, text_of(free_run.tokens),
               text_of(native_greedy(prompt, in_prompt).tokens));
}

TEST_CASE("5C.1 the loop, stopping: every decode step judged like a prefill", "[5C.1]") {
  for (const Prompt& prompt : {word(), line()}) {
    std::vector<TokenId> tokens = whole_text(prompt);
    if (options().quick && tokens.size() > 16) tokens.resize(16);
    const JudgedSteps steps = judge_steps(tokens,
                                          prefill_and_steps(static_cast<std::int64_t>(tokens.size()),
                                                            static_cast<std::int64_t>(prompt.ids.size())),
                                          CacheKind::concat);
    record_judgement(steps.judgement, prompt.name + " and its greedy text");
  }
}

TEST_CASE("5C.2 conversations: a second turn over the cache is a full recompute, bit for bit", "[5C.2]") {
  const std::vector<TokenId> first = passage().ids, second = line().ids;
  std::vector<TokenId> both = first;
  both.insert(both.end(), second.begin(), second.end());
  const std::vector<std::int64_t> turns{static_cast<std::int64_t>(first.size()),
                                        static_cast<std::int64_t>(second.size())};
  const Trace whole = record_prefill(subject(), both);
  for (const CacheKind kind : kKinds) {
    const JudgedSteps steps = judge_steps(both, turns, kind);
    record_judgement(steps.judgement, "two turns, " + kind_name(kind));
    record(check_same_bits("second turn's logits", kind_name(kind),
                           last_recorded(steps.subject, {Probe::lm_head, -1}).view(),
                           whole.steps[0].tensors.at({Probe::lm_head, -1}).view().last_rows(turns[1])));
  }
  record_skip("20 turns over a cached system prompt", "the generator keeps no conversation yet");
}

}  // namespace plumbline::phases
