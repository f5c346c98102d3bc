// Phase 3: is every operation of the forward pass right by its own inputs, and do the logits arrive where
// truth's do?
#include <algorithm>

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include "harness/checks.h"
#include "harness/evidence.h"
#include "harness/explain.h"
#include "impl/generator.h"
#include "impl/sampler.h"
#include "phases/support/accumulated.h"
#include "phases/support/batch.h"
#include "phases/support/beside_libtorch.h"
#include "phases/support/closely.h"
#include "phases/support/golden_checks.h"
#include "phases/support/integer_cases.h"
#include "phases/support/long_prompt.h"
#include "phases/support/loop_inputs.h"
#include "phases/support/sides.h"
#include "phases/support/suite.h"

namespace plumbline::phases {

void prepare() {
  load_sides(LoadTokenizers::native_meanwhile);
}

namespace {

constexpr OpSite kLogits{Probe::lm_head, -1};

const Tensor& recorded(const Trace& trace, OpSite site) {
  const auto found = trace.steps.at(0).tensors.find(site);
  require(found != trace.steps[0].tensors.end(), "the trace lacks " + site_name(site));
  return found->second;
}

LogitsOfPrompt logits_of(const JudgedPrompt& run) {
  return {run.prompt.name, recorded(run.subject, kLogits).view(), recorded(run.truth, kLogits).view()};
}

// The accumulated error of the last thing computed, against truth's own run and against the golden logits.
void record_final_logits(const JudgedPrompt& run, AccumulatedErrors& accumulated) {
  accumulated.add_logits(run);
  record_golden_logits(run.prompt, recorded(run.subject, kLogits).view());
}

// The referee on trial: the reference must itself stand where Hugging Face stands.
void record_reference_against_golden(const JudgedPrompt& run) {
  if (run.prompt.golden == nullptr) return;
  if (!goldens_judge_subject()) {
    const Trace exact = record_prefill(exact_reference(), run.prompt.ids, ProbeFilter({"lm_head"}));
    return record_exact_reference_logits(run.prompt, recorded(exact, kLogits).view());
  }
  const Trace f32 = record_prefill(reference(), run.prompt.ids, ProbeFilter({"lm_head"}));
  record_reference_logits(run.prompt, recorded(f32, kLogits).view(), recorded(run.truth, kLogits).view());
}

// The prompts of a case; to be quick over a real vocabulary, whose logits are most of the work, the first and
// the last.
std::vector<Prompt> chosen_prompts(const std::string& case_id) {
  std::vector<Prompt> prompts = prompts_of(case_id);
  const bool few = options().quick && subject().config().vocab_size > 20'000;
  if (few && prompts.size() > 2) prompts.erase(prompts.begin() + 1, prompts.end() - 1);
  return prompts;
}

std::vector<Prompt> chosen_prompts() {
  std::vector<Prompt> prompts = chosen_prompts("3.1");
  for (Prompt& prompt : chosen_prompts("3.2")) prompts.push_back(std::move(prompt));
  return prompts;
}

void record_prompts(const std::string& case_id) {
  AccumulatedErrors accumulated;
  judge_together(chosen_prompts(case_id));
  for (const Prompt& prompt : chosen_prompts(case_id)) {
    const JudgedPrompt& run = judged(prompt);
    if (const std::string sentence = headline(run.judgement); !sentence.empty()) set_headline(sentence);
    record(check_at_most("ops wrong by their own inputs", prompt.name, "ops",
                         static_cast<double>(run.judgement.wrong().size()), 0));
    record_final_logits(run, accumulated);
    accumulated.add_next_tokens(run);
    record_reference_against_golden(run);
  }
  accumulated.finish();
}

// Several of the blocks that keys are summed in, and a last one that is not full; then as many as the model
// has positions for.
std::vector<std::size_t> long_lengths() {
  constexpr std::size_t kLongest = 2048;
  if (options().quick) return {40};
  const auto positions = static_cast<std::size_t>(subject().config().max_position_embeddings);
  const std::size_t longest = std::min(kLongest, positions);
  if (longest <= kJudgedWhole) {
    add_assumption(fmt::format("the checkpoint has {} positions: no prompt of {}", positions, kLongest));
    return {256, 700};
  }
  return {256, 700, longest};
}

Prompt long_prompt(std::size_t length) {
  const std::vector<TokenId> ids = all_prompts().back().ids;
  std::vector<TokenId> tokens;
  while (tokens.size() < length) tokens.push_back(ids[tokens.size() % ids.size()]);
  return {fmt::format("{} tokens", length), "", std::move(tokens), nullptr};
}

}  // namespace

TEST_CASE("3.1 single token: logits and every op", "[3.1]") {
  record_prompts("3.1");
}

TEST_CASE("3.2 several tokens: logits and every op", "[3.2]") {
  record_prompts("3.2");
  judge_together(chosen_prompts());
  std::vector<LogitsOfPrompt> logits;
  for (const Prompt& prompt : chosen_prompts()) logits.push_back(logits_of(judged(prompt)));
  add_evidence(error_by_prompt(logits));
  add_evidence(error_by_position(logits.back().actual, logits.back().expected));
}

TEST_CASE("3.3 op by op: each output against the replay of its own inputs", "[3.3]") {
  Judgement all;
  judge_together(chosen_prompts());
  for (const Prompt& prompt : chosen_prompts()) {
    const JudgedPrompt& run = judged(prompt);
    record_judgement(run.judgement, prompt.name);
    all.ops.insert(all.ops.end(), run.judgement.ops.begin(), run.judgement.ops.end());
  }
  add_evidence(share_by_op(all));
  add_evidence(share_by_component(all));
  add_worst_ops_seen_closely(chosen_prompts());
  record_beside_libtorch(chosen_prompts());
}

TEST_CASE("3.3 op by op: on small whole numbers, where every order of summation is exact", "[3.3]") {
  record_integer_shapes();
}

TEST_CASE("3.4 layer by layer: the residual stream after each layer against the golden one", "[3.4]") {
  AccumulatedErrors accumulated;
  judge_together(chosen_prompts());
  for (const Prompt& prompt : chosen_prompts()) {
    const JudgedPrompt& run = judged(prompt);
    for (int layer = 0; layer < static_cast<int>(subject().config().num_hidden_layers); ++layer) {
      const OpSite site{Probe::mlp_residual, layer};
      const TensorView actual = recorded(run.subject, site).view();
      // The contract for logits, held at each layer: rows scaled by their largest value.
      accumulated.add(site_name(site) + " against truth",
                      check_logits(prompt.name, actual, recorded(run.truth, site).view(),
                                   tolerances().gate("final_logits_max_abs"),
                                   tolerances().gate("final_logits_mean_abs")));
      record_golden_hidden(prompt, site_name(site), layer, actual);
    }
  }
  if (!goldens_judge_subject()) record_skip("residual stream after each layer", why_goldens_do_not_judge());
  accumulated.finish();
  std::vector<const Judgement*> judgements;
  for (const Prompt& prompt : chosen_prompts()) judgements.push_back(&judged(prompt).judgement);
  add_evidence(error_by_layer(judgements));
  const JudgedPrompt& longest = judged(chosen_prompts().back());
  const OpSite last{Probe::mlp_residual, static_cast<int>(subject().config().num_hidden_layers) - 1};
  add_evidence(error_along_axes("where the accumulated error of " + site_name(last) + " sits",
                                {"position", "channel"}, recorded(longest.subject, last).view(),
                                recorded(longest.truth, last).view()));
  // Every probe of both runs at once: of a short prompt, for a large model's are gigabytes.
  const std::vector<TokenId> ids = prompt_like("quick_brown", 8).ids;
  add_evidence(error_split(record_prefill(subject(), ids), record_prefill(truth(), ids), replayer()));
}

TEST_CASE("3.5 long sequences and batches: a long prompt, op by op", "[3.5]") {
  AccumulatedErrors accumulated;
  JudgedLengths lengths;
  std::vector<LogitsOfPrompt> logits;
  for (const std::size_t length : long_lengths()) {
    const Prompt prompt = long_prompt(length);
    if (length > kJudgedWhole) {
      const JudgedPrompt run = judged_in_spans(prompt);
      record_judgement(run.judgement, prompt.name);
      if (!run.truth.steps.empty()) record_final_logits(run, accumulated);
      lengths.add(run);
      continue;
    }
    const JudgedPrompt& run = judged(prompt);
    record_judgement(run.judgement, prompt.name);
    record_final_logits(run, accumulated);
    lengths.add(run);
    logits.push_back(logits_of(run));
  }
  accumulated.finish();
  add_evidence(lengths.table());
  add_evidence(error_by_prompt(logits));
  add_evidence(error_by_position(logits.back().actual, logits.back().expected));
}

TEST_CASE("3.5 long sequences and batches: a ragged batch, each sequence judged, and equal to itself alone",
          "[3.5]") {
  const std::vector<Prompt> prompts = chosen_prompts();
  const Trace batch = record_batch(subject(), prompts);
  record_judgement(judged_and_explained(batch), "batch");
  judge_together(prompts);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    record(check_same_bits("logits in the batch and alone", prompts[i].name,
                           batch.steps.at(i).tensors.at(kLogits).view(),
                           recorded(judged(prompts[i]).subject, kLogits).view()));
  }
}

TEST_CASE("3.6 generation quality: greedy text is the golden text", "[3.6]") {
  const std::shared_ptr<Sampler> sampler = native::sampler_for(subject());
  for (const Prompt& prompt : chosen_prompts()) {
    if (prompt.golden == nullptr) {
      record_skip("greedy text of " + prompt.name, "no golden continuation for these weights");
      continue;
    }
    if (!goldens_judge_subject()) {
      record_skip("greedy text of " + prompt.name, why_goldens_do_not_judge());
      continue;
    }
    GenerationOptions greedy;
    greedy.eos_token_ids = goldens()->eos_token_ids;
    greedy.max_new_tokens = prompt.golden->max_new_tokens;
    NullSink nothing;
    const GenerationResult result = native::generate(subject(), *sampler, prompt.ids, greedy, nothing);
    record_equal("greedy tokens", prompt.name, fmt::format("{}", fmt::join(prompt.golden->greedy, " ")),
                 fmt::format("{}", fmt::join(result.tokens, " ")));
    if (native_tokenizer() != nullptr) {
      record_equal("greedy text", prompt.name, prompt.golden->greedy_text,
                   native_tokenizer()->decode(result.tokens, false));
    }
  }
}

TEST_CASE("3.6 generation quality: teacher-forced logits along the golden text", "[3.6]") {
  AccumulatedErrors accumulated;
  std::vector<Prompt> prompts = chosen_prompts();
  if (options().quick) prompts.resize(std::min<std::size_t>(prompts.size(), 2));
  std::vector<Prompt> all_forced;
  for (const Prompt& prompt : prompts) {
    if (prompt.golden == nullptr) {
      record_skip("continuation of " + prompt.name, "no golden continuation for these weights");
      continue;
    }
    all_forced.push_back({prompt.name + " and its continuation", "", whole_text(prompt), nullptr});
  }
  judge_together(all_forced);
  for (const Prompt& forced : all_forced) {
    const JudgedPrompt& run = judged(forced);
    record_final_logits(run, accumulated);
    accumulated.add_token_verdicts(run);
  }
  accumulated.finish();
}

}  // namespace plumbline::phases
