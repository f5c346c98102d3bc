// Replay of the sampler chain: what each stage should have given, from the stage's own recorded input.
#pragma once

#include <map>
#include <span>

#include "harness/replay.h"
#include "harness/sampling.h"

namespace plumbline::reference {

// The tensors of one Sampler::sample call by probe.
using SampledStages = std::map<Probe, Tensor>;

// sample_penalized … sample_min_p: the reference chain with that stage alone, over the recorded input of the
// stage; exact. sample_probs: the softmax of the recorded input in f64 with its bound; places at -inf are
// forbidden. sample_token: the inverse CDF over the recorded probabilities at the recorded noise.
// `given_logits` is what the sampler was handed: sample_logits must equal it. Throws Error when a stage's
// input was not recorded.
Replay replay_stage(Probe stage, const SampledStages& recorded, std::span<const float> given_logits,
                    std::span<const TokenId> history, const SamplingParams& params);

}  // namespace plumbline::reference
