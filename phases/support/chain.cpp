#include "phases/support/chain.h"

#include <fmt/format.h>

#include "harness/explain.h"
#include "phases/support/sides.h"
#include "phases/support/subject_sampler.h"
#include "phases/support/suite.h"
#include "reference/sampler.h"
#include "reference/sampling_filters.h"
#include "reference/sampling_replay.h"

namespace plumbline::phases {
namespace {

Judgement judged_draw(const Draw& draw, const SamplingStep& step, const SamplingParams& params) {
  const auto replay = [&](Probe stage) { return reference::replay_stage(stage, draw.stages, step, params); };
  return judge_draw(draw.stages, stages_of(params, true), replay, tolerances());
}

std::int64_t tie_flips(const Judgement& judgement) {
  std::int64_t flips = 0;
  for (const OpResult& op : judgement.ops) flips += op.tie_flips;
  return flips;
}

void record_order(const std::string& name, const Draw& draw, const SamplingParams& params) {
  const auto stage = [&](Probe probe) -> const Tensor& { return draw.stages.at(probe); };
  if (params.top_k > 0) {
    record(check_keeps_the_best("top-k keeps the best, ties together", name, stage(Probe::sample_scaled),
                                stage(Probe::sample_top_k), true));
  }
  if (params.top_p < 1) {
    record(check_keeps_the_best("top-p keeps the best, of equal ones the later", name,
                                stage(Probe::sample_top_k), stage(Probe::sample_top_p), false));
    record(check_top_p_cut("top-p cuts where it should", name,
                           exact_probabilities(stage(Probe::sample_top_k)), stage(Probe::sample_top_p),
                           params.top_p, tolerances().gate("probability_cut")));
  }
  if (params.min_p > 0) {
    record(check_keeps_the_best("min-p keeps the best, ties together", name, stage(Probe::sample_top_p),
                                stage(Probe::sample_min_p), true));
  }
}

// Where the two have kept other tokens, both within rounding of an edge, the same uniform need not meet the
// same token: a tie-flip.
Check kept_sets_part(const std::string& what, const std::string& name, std::int64_t apart,
                     const Judgement& native, const Judgement& reference) {
  Check check =
      check_at_most(what, name, "tokens that one side alone has kept", static_cast<double>(apart), 0);
  if (!native.wrong().empty() || !reference.wrong().empty()) return check;
  if (tie_flips(native) + tie_flips(reference) == 0) return check;
  check.verdict = Verdict::skipped;
  check.note = "tie-flip: the kept sets part within rounding of an edge, so the draws are not compared";
  return check;
}

void record_same_token(const std::string& name, const LogitRow& row, const SamplingParams& params,
                       double uniform, const Draw& native, const Judgement& judgement) {
  constexpr const char* kWhat = "token, native and reference chain";
  const SamplingStep step = row.step(uniform);
  const Draw other = record_draw(*reference::make_sampler(), step, params);
  if (params.temperature == 0) {
    return record_equal(kWhat, name, std::to_string(other.token), std::to_string(native.token));
  }
  const std::int64_t apart =
      kept_by_one(native.stages.at(Probe::sample_min_p), other.stages.at(Probe::sample_min_p));
  if (apart > 0) {
    return record(kept_sets_part(kWhat, name, apart, judgement, judged_draw(other, step, params)));
  }
  if (native.token == other.token) return record(check_at_most(kWhat, name, "other token", 0, 0));
  const Replay probs = reference::replay_stage(Probe::sample_probs, other.stages, step, params);
  record(check_same_draw(kWhat, name, native.token, other.token, probs.expected.view(), probs.bound.view(),
                         tolerances().op(OpClass::softmax, DType::f32, DeviceKind::cpu).lambda, uniform));
}

}  // namespace

SamplingParams at_temperature(double temperature) {
  SamplingParams params;
  params.temperature = temperature;
  return params;
}

Draw native_draw(const LogitRow& row, const SamplingParams& params, double uniform) {
  return record_draw(*subject_sampler(), row.step(uniform), params);
}

Tensor exact_probabilities(const Tensor& scores) {
  return reference::replay_sampling_softmax(scores).expected;
}

Draw record_chain(const LogitRow& row, const SamplingParams& params, double uniform) {
  const std::string name = fmt::format("{}, {}, u {:.3g}", row.name, describe(params), uniform);
  Draw draw = native_draw(row, params, uniform);
  const Judgement judgement = judged_draw(draw, row.step(uniform), params);
  record_judgement(judgement, name);
  record_same_token(name, row, params, uniform, draw, judgement);
  if (params.temperature == 0) return draw;
  record_order(name, draw, params);
  const auto injected = Tensor::from<double>(DType::f64, Shape{1}, std::span(&uniform, 1));
  record(check_same_bits("noise is what was injected", name, draw.stages.at(Probe::sample_noise).view(),
                         injected.view()));
  record(check_sums_to_one("probabilities", name, draw.stages.at(Probe::sample_probs).view(),
                           tolerances().gate("probability_sum")));
  return draw;
}

}  // namespace plumbline::phases
