// Phase 5: the loop. Greedy and sampled text over the caches against transformers' and the reference's full
// recompute, what stops it, what callbacks do; every decode step judged op by op like a prefill.
#include <algorithm>
#include <span>

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include "impl/generator.h"
#include "phases/support/loop_checks.h"
#include "phases/support/loop_goldens.h"
#include "phases/support/loop_inputs.h"
#include "phases/support/sides.h"
#include "phases/support/suite.h"
#include "reference/generator.h"
#include "reference/sampler.h"

namespace plumbline::phases {

void prepare() {
  load_sides(options().quick ? LoadTokenizers::when_asked_for : LoadTokenizers::native_meanwhile,
             Sums::in_one_order);
}

namespace {

// Over a real vocabulary the logits of each token take milliseconds.
bool is_brief() {
  return options().quick && subject().config().vocab_size > 20'000;
}

// Greedy text of so many tokens against the golden one's beginning, or all of it.
void record_golden_text(const Prompt& prompt, const GenerationResult& result) {
  std::span<const TokenId> expected = prompt.golden->greedy;
  const bool whole = result.stop != StopReason::max_new_tokens || result.tokens.size() >= expected.size();
  if (!whole) expected = expected.first(result.tokens.size());
  record_equal("tokens, native and golden", prompt.name, text_of(expected), text_of(result.tokens));
  if (whole)
    record_equal("reason for stopping", prompt.name, stop_reason_name(prompt.golden->stop),
                 stop_reason_name(result.stop));
}

// In a half type another order of roundings moves a logit by more than many margins: the reference, which
// rounds after each elementary operation, may write another text that is as right. Records a skip then.
bool texts_can_be_told_apart(const std::string& what) {
  if (options().dtype == DType::f32) return true;
  record_skip(what, fmt::format("in {} both texts may be right: teacher-forced choices are judged in 3.6",
                                dtype_name(options().dtype)));
  return false;
}

}  // namespace

TEST_CASE("5C.1 the loop, stopping: greedy text over the cache is the golden text and the reference's",
          "[5C.1]") {
  const std::size_t most = options().quick ? 2 : 40;
  for (const Prompt& prompt : all_prompts()) {
    GenerationOptions options = greedy_options(CacheKind::concat);
    if (prompt.golden != nullptr) options.max_new_tokens = prompt.golden->max_new_tokens;
    if (is_brief()) options.max_new_tokens = std::min<std::int64_t>(*options.max_new_tokens, 4);
    const GenerationResult native_result = native_greedy(prompt, options);
    if (prompt.golden != nullptr && goldens_judge_subject()) record_golden_text(prompt, native_result);
    if (prompt.golden != nullptr && !goldens_judge_subject())
      record_skip("golden text of " + prompt.name, why_goldens_do_not_judge());
    record_equal("cache length is one behind the tokens", prompt.name,
                 std::to_string(prompt.ids.size() + native_result.tokens.size() - 1),
                 std::to_string(native_result.cache_length));
    if (!texts_can_be_told_apart("tokens, native and reference, " + prompt.name)) continue;
    if (prompt.ids.size() > most) continue;  // the reference recomputes everything at each step
    const GenerationResult reference_result =
        reference::generate(reference(), *reference::make_sampler(), prompt.ids, options);
    record_equal("tokens, native and reference", prompt.name, text_of(reference_result.tokens),
                 text_of(native_result.tokens));
  }
}

TEST_CASE("5C.1 the loop, stopping: 200 greedy tokens and sampled ones are transformers' own", "[5C.1]") {
  if (goldens() && !goldens_judge_subject())
    return record_skip("200 greedy tokens, and sampled ones", why_goldens_do_not_judge());
  const auto golden = goldens() ? read_generation_goldens(goldens()->directory) : std::nullopt;
  if (!golden)
    return record_skip("200 greedy tokens, and sampled ones",
                       "there are no generation goldens of this model");
  const auto kit = native_loop_kit(subject(), text_tokenizer().tokenizer);
  record_all(check_golden_greedy(*kit, *golden, options().quick ? 24 : 200));
  record_all(check_golden_sampled(*kit, *golden, options().quick ? 8 : 200));
}

TEST_CASE("5C.1 the loop, stopping: sampled text is the same on both sides when the uniforms are", "[5C.1]") {
  GenerationOptions options = greedy_options(CacheKind::concat);
  options.max_new_tokens = phases::options().quick ? 4 : 24;
  options.sampling.temperature = 1.0;
  options.sampling.top_k = 20;
  options.sampling.top_p = 0.95;
  for (int i = 0; i < 24; ++i) options.uniforms.push_back((i * 37 % 100 + 0.5) / 100);
  for (const Prompt& prompt : {word(), words()}) {
    if (!texts_can_be_told_apart("sampled tokens, " + prompt.name)) continue;
    record_equal(
        "sampled tokens", prompt.name,
        text_of(reference::generate(reference(), *reference::make_sampler(), prompt.ids, options).tokens),
        text_of(native_greedy(prompt, options).tokens));
  }
}

TEST_CASE("5C.1 the loop, stopping: what stops it, what is cached, batches, callbacks, captures", "[5C.1]") {
  record_loop_checks("5C.1");
}

TEST_CASE("5C.1 the loop, stopping: every decode step judged like a prefill", "[5C.1]") {
  for (const Prompt& prompt : is_brief() ? std::vector{line()} : std::vector{word(), line()}) {
    std::vector<TokenId> tokens = whole_text(prompt);
    if (options().quick && tokens.size() > 16) tokens.resize(is_brief() ? 12 : 16);
    const JudgedSteps steps = judge_steps(tokens,
                                          prefill_and_steps(static_cast<std::int64_t>(tokens.size()),
                                                            static_cast<std::int64_t>(prompt.ids.size())),
                                          CacheKind::concat);
    record_judgement(steps.judgement, prompt.name + " and its greedy text");
  }
}

}  // namespace plumbline::phases
