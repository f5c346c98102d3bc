#include "harness/sampling_judge.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include <fmt/format.h>

namespace plumbline {
namespace {

class StagesSink final : public ProbeSink {
 public:
  explicit StagesSink(SampledStages& stages) : stages_(stages) {}
  Access access(const ProbeId&) const override { return Access::read; }
  void receive(const ProbeId& id, const TensorView& view) override {
    require(stages_.emplace(id.site.probe, copy_host(view)).second, "a stage was emitted twice");
  }

 private:
  SampledStages& stages_;
};

bool kept(float score) {
  return std::isfinite(score);
}

// Two stages of one draw, f32 of the same length.
std::pair<std::span<const float>, std::span<const float>> both(const Tensor& a, const Tensor& b) {
  require(a.shape() == b.shape() && a.dtype() == DType::f32 && b.dtype() == DType::f32,
          "sampling stages: two of f32 and of the same shape");
  return {a.values<float>(), b.values<float>()};
}

}  // namespace

Draw record_draw(Sampler& sampler, const SamplingStep& step, const SamplingParams& params) {
  Draw draw;
  StagesSink sink(draw.stages);
  draw.token = sampler.sample(step, params, sink);
  return draw;
}

std::vector<Probe> stages_of(const SamplingParams& params, bool uniform_given) {
  using enum Probe;
  if (params.temperature == 0) return {sample_logits, sample_penalized, sample_token};
  std::vector<Probe> stages{sample_logits, sample_penalized, sample_scaled, sample_top_k,
                            sample_top_p,  sample_min_p,     sample_probs};
  if (uniform_given) stages.push_back(sample_noise);
  stages.push_back(sample_token);
  return stages;
}

std::string describe(const SamplingParams& p) {
  std::string text = p.temperature == 0 ? "greedy" : fmt::format("T {}", p.temperature);
  if (p.top_k > 0) text += fmt::format(", top-k {}", p.top_k);
  if (p.top_p < 1) text += fmt::format(", top-p {}", p.top_p);
  if (p.min_p > 0) text += fmt::format(", min-p {}", p.min_p);
  if (p.repetition_penalty != 1) text += fmt::format(", repetition {}", p.repetition_penalty);
  if (p.frequency_penalty != 0) text += fmt::format(", frequency {}", p.frequency_penalty);
  if (p.presence_penalty != 0) text += fmt::format(", presence {}", p.presence_penalty);
  if (!p.logit_bias.empty()) text += fmt::format(", {} biases", p.logit_bias.size());
  return text;
}

Judgement judge_draw(const SampledStages& recorded, const std::vector<Probe>& stages,
                     const StageReplay& replay, const Tolerances& tolerances) {
  Judgement judgement;
  for (const Probe stage : stages) {
    const OpClass op = probe_spec(stage).op;
    OpResult result;
    const auto found = recorded.find(stage);
    if (found == recorded.end()) {
      result.reason = "not recorded";
    } else {
      result = compare_op(found->second.view(), replay(stage), tolerances.op(op, DType::f32, DeviceKind::cpu),
                          op, tolerances.gate("forbidden_weight"));
    }
    result.site = {stage, -1};
    result.judged_as = op;
    judgement.ops.push_back(std::move(result));
  }
  return judgement;
}

std::int64_t kept_by_one(const Tensor& a, const Tensor& b) {
  const auto [one, other] = both(a, b);
  std::int64_t differing = 0;
  for (std::size_t id = 0; id < one.size(); ++id) differing += kept(one[id]) != kept(other[id]) ? 1 : 0;
  return differing;
}

Check check_keeps_the_best(std::string what, std::string subject, const Tensor& input, const Tensor& output,
                           bool ties_together) {
  const auto [before, after] = both(input, output);
  // The best place that was dropped: of equal ones the highest id.
  std::optional<std::size_t> best;
  for (std::size_t id = 0; id < before.size(); ++id) {
    if (!kept(before[id]) || kept(after[id])) continue;
    if (!best || before[id] >= before[*best]) best = id;
  }
  std::int64_t outranked = 0;
  for (std::size_t id = 0; best && id < after.size(); ++id) {
    const bool tied = before[id] == before[*best] && (ties_together || id < *best);
    outranked += kept(after[id]) && (before[id] < before[*best] || tied) ? 1 : 0;
  }
  return check_at_most(std::move(what), std::move(subject), "kept tokens that a dropped one outranks",
                       static_cast<double>(outranked), 0);
}

Check check_nested(std::string what, std::string subject, const Tensor& fewer, const Tensor& more) {
  const auto [small, large] = both(fewer, more);
  std::int64_t missing = 0;
  for (std::size_t id = 0; id < small.size(); ++id) missing += kept(small[id]) && !kept(large[id]) ? 1 : 0;
  return check_at_most(std::move(what), std::move(subject), "tokens kept by the smaller alone",
                       static_cast<double>(missing), 0);
}

Check check_top_p_cut(std::string what, std::string subject, const Tensor& probabilities,
                      const Tensor& output, double p, double gate) {
  require(probabilities.shape() == output.shape(), "check_top_p_cut: shapes differ");
  const std::span<const double> each = probabilities.values<double>();
  const std::span<const float> scores = output.values<float>();
  double dropped = 0, least = 2;
  for (std::size_t id = 0; id < scores.size(); ++id) {
    if (kept(scores[id])) {
      least = std::min(least, each[id]);
    } else {
      dropped += each[id];
    }
  }
  const double excess = dropped - (1 - p), lack = (1 - p) - (dropped + least);
  return check_at_most(std::move(what), std::move(subject), "probability beyond the cut",
                       std::max({0.0, excess, lack}), gate);
}

}  // namespace plumbline
