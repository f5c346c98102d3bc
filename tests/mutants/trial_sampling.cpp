#include "tests/mutants/trial_sampling.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include <fmt/format.h>

#include "harness/sampling_judge.h"
#include "reference/chi_squared.h"
#include "reference/sampling_replay.h"

namespace plumbline::mutants {
namespace {

struct Row {
  std::string name;
  std::vector<float> logits;
};

constexpr double kUniforms[] = {0.0, 0.3, 0.8, 1.0 - 0x1p-53};

// Rows on which each of the mistakes can be seen: ordinary, tied, equal, negative, sharp, huge; and dyadic
// ones.
std::vector<Row> rows() {
  std::vector<Row> all{{"ordinary, 200 tokens", {}}, {"ties, 200 tokens", {}}, {"huge, 40 tokens", {}}};
  for (int i = 0; i < 200; ++i) {
    const double wave = 6 * std::sin(1.7 * i) + 3 * std::sin(0.13 * i * i);
    all[0].logits.push_back(static_cast<float>(wave));
    all[1].logits.push_back(static_cast<float>(std::round(wave / 2)));
    if (i < 40) all[2].logits.push_back(static_cast<float>(100 * wave));
  }
  const float ln2 = std::log(2.0f), out = -std::numeric_limits<float>::infinity();
  all.push_back({"eight equal", std::vector<float>(8, 0.5f)});
  all.push_back({"[-, 1/2, 1/4, 1/8, 1/8, -]", {out, -ln2, -2 * ln2, -3 * ln2, -3 * ln2, out}});
  all.push_back({"the best two equal", {1, 5, 5, 0, -2, -3, -4, 4}});
  return all;
}

std::vector<SamplingParams> settings() {
  SamplingParams plain, penalized, sharp, top_k, top_p, min_p, chain, greedy, greedy_penalized;
  plain.temperature = 1;
  penalized.temperature = 0.7;
  penalized.repetition_penalty = 1.3;
  penalized.frequency_penalty = 0.4;
  penalized.presence_penalty = 0.3;
  penalized.logit_bias = {{1, -1.5}, {3, 2}};
  sharp.temperature = 0.3;
  top_k.temperature = 1;
  top_k.top_k = 3;
  top_p.temperature = 1;
  top_p.top_p = 0.5;
  min_p.temperature = 1;
  min_p.min_p = 0.2;
  chain = penalized;
  chain.top_k = 20;
  chain.top_p = 0.9;
  chain.min_p = 0.02;
  greedy_penalized.repetition_penalty = 4;
  greedy_penalized.presence_penalty = 1;
  return {plain, penalized, sharp, top_k, top_p, min_p, chain, greedy, greedy_penalized};
}

// The first wrong stage of a draw, or "noise" where what was injected was not used; empty: all is right.
std::string first_wrong(Sampler& sampler, const SamplingStep& step, const SamplingParams& params,
                        const Tolerances& tolerances) {
  const Draw draw = record_draw(sampler, step, params);
  const auto replay = [&](Probe stage) { return reference::replay_stage(stage, draw.stages, step, params); };
  const Judgement judgement = judge_draw(draw.stages, stages_of(params, true), replay, tolerances);
  if (!judgement.wrong().empty()) return site_name(judgement.wrong().front()->site);
  const auto noise = draw.stages.find(Probe::sample_noise);
  if (noise != draw.stages.end() && noise->second.values<double>()[0] != *step.uniform) return "noise";
  return {};
}

void note(SamplingResult& result, const std::string& wrong, const std::string& subject) {
  ++result.draws;
  if (wrong.empty()) return;
  ++result.wrong_draws;
  if (result.first_wrong.empty()) {
    result.first_wrong = wrong;
    result.shown_by = subject;
  } else if (wrong != result.first_wrong && result.others.find(wrong) == std::string::npos) {
    if (!result.others.empty()) result.others += ", ";
    result.others += wrong;
  }
}

void try_stages(SamplingResult& result, const Tolerances& tolerances) {
  const auto sampler = make_plain_sampler(result.mutation.mistake);
  for (const Row& row : rows()) {
    const auto vocab = static_cast<TokenId>(row.logits.size());
    std::vector<TokenId> history{0, 3, 3, 1, 4, 1, 3, 0, 3, 4, 2, 2};
    for (TokenId& token : history) token %= vocab;
    for (const SamplingParams& params : settings()) {
      for (const double uniform : kUniforms) {
        const SamplingStep step{{row.logits.data(), DType::f32, {vocab}}, history, 6, uniform};
        const std::string subject = fmt::format("{}, {}, u {:.3g}", row.name, describe(params), uniform);
        note(result, first_wrong(*sampler, step, params, tolerances), subject);
      }
    }
  }
}

// Pairs of own draws from four equal tokens, of two rows or of two steps: independent, by phase 4's test.
void try_stream(SamplingResult& result, const std::string& name, std::uint64_t other_row,
                std::uint64_t other_step) {
  constexpr int kDraws = 20'000;
  const auto sampler = make_plain_sampler(result.mutation.mistake, 7);
  const std::array<float, 4> equal{};
  SamplingParams params;
  params.temperature = 1;
  NullSink nothing;
  const auto token = [&](std::uint64_t row, std::uint64_t at) {
    SamplingStep step{{equal.data(), DType::f32, {4}}, {}};
    step.row = row;
    step.step = at;
    return static_cast<std::size_t>(sampler->sample(step, params, nothing));
  };
  std::array<int, 16> counts{};
  for (std::uint64_t i = 0; i < kDraws; ++i) {
    ++counts[token(0, 2 * i) * 4 + token(other_row, 2 * i + other_step)];
  }
  double statistic = 0;
  for (const int count : counts) statistic += std::pow(count - kDraws / 16.0, 2) / (kDraws / 16.0);
  const bool independent = statistic <= reference::chi_squared_critical(1e-7, 15);
  note(result, independent ? "" : name,
       fmt::format("{} pairs of draws, chi-squared {:.0f}", kDraws, statistic));
}

void try_refusal(SamplingResult& result) {
  const std::array<float, 3> logits{1, std::numeric_limits<float>::quiet_NaN(), 2};
  SamplingParams params;
  params.temperature = 1;
  NullSink nothing;
  try {
    make_plain_sampler(result.mutation.mistake)
        ->sample({{logits.data(), DType::f32, {3}}, {}, 0, 0.5}, params, nothing);
    note(result, "refusal", "a NaN logit is sampled from");
  } catch (const Error&) {
    note(result, "", "");
  }
}

SamplingResult try_one(const SamplingMutation& mutation, const Tolerances& tolerances) {
  SamplingResult result;
  result.mutation = mutation;
  try_stages(result, tolerances);
  if (result.wrong_draws == 0) {  // the same draw at every step fails both: steps are asked first
    try_stream(result, "steps", 0, 1);
    if (result.wrong_draws == 0) try_stream(result, "rows", 1, 0);
    try_refusal(result);
  }
  return result;
}

}  // namespace

std::vector<SamplingResult> try_sampling(const Tolerances& tolerances) {
  std::vector<SamplingResult> results{try_one({SamplingMistake::none, "no mistake", ""}, tolerances)};
  for (const SamplingMutation& mutation : all_sampling_mutations()) {
    results.push_back(try_one(mutation, tolerances));
  }
  return results;
}

std::vector<std::string> complaints_of(const std::vector<SamplingResult>& results) {
  std::vector<std::string> complaints;
  for (const SamplingResult& each : results) {
    const std::string& name = each.mutation.name;
    if (!each.planted()) {
      if (each.wrong_draws == 0) continue;
      complaints.push_back(
          fmt::format("sampling, no mistake: {} is called wrong ({})", each.first_wrong, each.shown_by));
    } else if (!each.killed()) {
      complaints.push_back(fmt::format("sampling mutant '{}' survives", name));
    } else if (!each.blamed_right()) {
      complaints.push_back(fmt::format("sampling mutant '{}': blamed {}{}{}, planted in {}", name,
                                       each.first_wrong, each.others.empty() ? "" : " and ", each.others,
                                       each.mutation.blamed));
    }
  }
  return complaints;
}

std::string sampling_section(const std::vector<SamplingResult>& results) {
  std::string text =
      "## Sampling\n\nMistakes planted in a third sampler; every stage of every draw is judged as in phase "
      "4. "
      "Rows, steps, noise and refusal are checks of their own.\n\n"
      "| mistake | wrong draws | first wrong | first shown by |\n| --- | --- | --- | --- |\n";
  for (const SamplingResult& each : results) {
    text += fmt::format("| {} | {} of {} | {}{}{} | {} |\n", each.mutation.name, each.wrong_draws, each.draws,
                        each.first_wrong.empty() ? "–" : each.first_wrong, each.others.empty() ? "" : ", ",
                        each.others, each.shown_by);
  }
  return text + "\n";
}

}  // namespace plumbline::mutants
