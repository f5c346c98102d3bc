#include "phases/support/chain.h"

#include <fmt/format.h>

#include "harness/checks.h"
#include "harness/explain.h"
#include "impl/sampler.h"
#include "phases/support/sides.h"
#include "phases/support/suite.h"
#include "reference/sampler.h"
#include "reference/sampling_replay.h"

namespace plumbline::phases {
namespace {

class StagesSink final : public ProbeSink {
 public:
  explicit StagesSink(std::map<Probe, Tensor>& stages) : stages_(stages) {}
  Access access(const ProbeId&) const override { return Access::read; }
  void receive(const ProbeId& id, const TensorView& view) override {
    require(stages_.emplace(id.site.probe, copy_host(view)).second, "a stage was emitted twice");
  }

 private:
  std::map<Probe, Tensor>& stages_;
};

OpResult judge_stage(Probe stage, const ChainRun& run, std::span<const float> logits,
                     std::span<const TokenId> history, const SamplingParams& params) {
  OpResult result;
  const auto found = run.stages.find(stage);
  if (found == run.stages.end()) {
    result.reason = "not recorded";
  } else {
    const OpClass op = probe_spec(stage).op;
    const Replay replay = reference::replay_stage(stage, run.stages, logits, history, params);
    const Tolerance& tolerance = tolerances().op(op, DType::f32, DeviceKind::cpu);
    result = compare_op(found->second.view(), replay, tolerance, op, tolerances().gate("forbidden_weight"));
  }
  result.site = {stage, -1};
  result.judged_as = probe_spec(stage).op;
  return result;
}

}  // namespace

ChainRun run_chain(Sampler& sampler, std::span<const float> logits, std::span<const TokenId> history,
                   const SamplingParams& params, double uniform) {
  ChainRun run;
  StagesSink sink(run.stages);
  run.token = sampler.sample(logits, history, params, uniform, sink);
  return run;
}

std::vector<Probe> stages_of(const SamplingParams& params) {
  using enum Probe;
  if (params.temperature == 0) return {sample_logits, sample_penalized, sample_token};
  return {sample_logits, sample_penalized, sample_scaled, sample_top_k, sample_top_p,
          sample_min_p,  sample_probs,     sample_noise,  sample_token};
}

std::string describe(const SamplingParams& p) {
  std::string text = p.temperature == 0 ? "greedy" : fmt::format("T {}", p.temperature);
  if (p.top_k > 0) text += fmt::format(", top-k {}", p.top_k);
  if (p.top_p < 1) text += fmt::format(", top-p {}", p.top_p);
  if (p.min_p > 0) text += fmt::format(", min-p {}", p.min_p);
  if (p.repetition_penalty != 1) text += fmt::format(", penalty {}", p.repetition_penalty);
  return text;
}

void record_chain(const std::string& subject_name, std::span<const float> logits,
                  std::span<const TokenId> history, const SamplingParams& params, double uniform) {
  const std::string name = fmt::format("{}, {}, u {:.3g}", subject_name, describe(params), uniform);
  const ChainRun native_run = run_chain(*native::make_sampler(), logits, history, params, uniform);
  Judgement judgement;
  for (const Probe stage : stages_of(params)) {
    judgement.ops.push_back(judge_stage(stage, native_run, logits, history, params));
  }
  record_judgement(judgement, name);
  const ChainRun reference_run = run_chain(*reference::make_sampler(), logits, history, params, uniform);
  if (params.temperature == 0) {
    record_equal("token, native and reference chain", name, std::to_string(reference_run.token),
                 std::to_string(native_run.token));
    return;
  }
  const Replay probs =
      reference::replay_stage(Probe::sample_probs, reference_run.stages, logits, history, params);
  record(check_same_draw("token, native and reference chain", name, native_run.token, reference_run.token,
                         probs.expected.view(), probs.bound.view(),
                         tolerances().op(OpClass::softmax, DType::f32, DeviceKind::cpu).lambda, uniform));
  const auto injected = Tensor::from<double>(DType::f64, Shape{1}, std::span(&uniform, 1));
  record(check_same_bits("noise is what was injected", name, native_run.stages.at(Probe::sample_noise).view(),
                         injected.view()));
  record(check_sums_to_one("probabilities", name, native_run.stages.at(Probe::sample_probs).view(),
                           tolerances().gate("probability_sum")));
}

}  // namespace plumbline::phases
