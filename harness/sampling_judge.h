// One draw of a sampler, recorded and judged stage by stage.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "harness/checks.h"
#include "harness/judge.h"
#include "harness/sampling.h"

namespace plumbline {

// The tensors of one Sampler::sample call by probe.
using SampledStages = std::map<Probe, Tensor>;

struct Draw {
  SampledStages stages;
  TokenId token = -1;
};
Draw record_draw(Sampler& sampler, const SamplingStep& step, const SamplingParams& params);

// The stages that a draw with these parameters must record, in chain order; .noise only for a given uniform.
std::vector<Probe> stages_of(const SamplingParams& params, bool uniform_given);

// "T 0.7, top-k 20, top-p 0.8"; "greedy".
std::string describe(const SamplingParams& params);

// What a stage should have given, from the recorded stages.
using StageReplay = std::function<Replay(Probe)>;

// Each of `stages` against its replay, by the f32 rows of the CPU. What was not recorded is untested.
Judgement judge_draw(const SampledStages& recorded, const std::vector<Probe>& stages,
                     const StageReplay& replay, const Tolerances& tolerances);

// Of stages [vocab] f32, -inf where dropped; of other dtypes or shapes: InternalError.
// Tokens that exactly one of two filtered stages has kept.
std::int64_t kept_by_one(const Tensor& a, const Tensor& b);

// A filter keeps the best: the kept places of [vocab] that a dropped one outranks. Of equal scores
// `ties_together` asks that all or none are kept (top-k, min-p); else the higher id is (top-p).
Check check_keeps_the_best(std::string what, std::string subject, const Tensor& input, const Tensor& output,
                           bool ties_together);

// Every place that `fewer` keeps `more` keeps too.
Check check_nested(std::string what, std::string subject, const Tensor& fewer, const Tensor& more);

// How far the cut of a top-p filter lies from where it belongs, in probability: with q what was dropped in
// all, the excess of q over 1 - p, or what q and the least kept probability together lack to exceed it.
// `probabilities` of the input, f64.
Check check_top_p_cut(std::string what, std::string subject, const Tensor& probabilities,
                      const Tensor& output, double p, double gate);

}  // namespace plumbline
