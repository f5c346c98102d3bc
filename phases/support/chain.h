// The sampler chain run on one side and judged stage by stage.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "harness/sampling.h"

namespace plumbline::phases {

struct ChainRun {
  std::map<Probe, Tensor> stages;
  TokenId token = -1;
};
ChainRun run_chain(Sampler& sampler, std::span<const float> logits, std::span<const TokenId> history,
                   const SamplingParams& params, double uniform);

// One draw of the native sampler: every stage it recorded against the reference's replay of that stage's own
// input, and the token against the reference chain's from the same logits and the same uniform. Records the
// checks.
void record_chain(const std::string& subject, std::span<const float> logits, std::span<const TokenId> history,
                  const SamplingParams& params, double uniform);

// "T 0.7, top-k 20, top-p 0.8"; "greedy".
std::string describe(const SamplingParams& params);

// The stages that a run with these parameters must record, in chain order.
std::vector<Probe> stages_of(const SamplingParams& params);

}  // namespace plumbline::phases
