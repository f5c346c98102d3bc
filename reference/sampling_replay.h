// Replay of the sampler chain: what each stage should have given, from the stage's own recorded input.
#pragma once

#include <map>

#include "harness/replay.h"
#include "harness/sampling.h"

namespace plumbline::reference {

// The tensors of one Sampler::sample call by probe.
using SampledStages = std::map<Probe, Tensor>;

// sample_logits: what the sampler was handed. sample_penalized, _scaled, _top_k: the reference chain with
// that stage alone, over the stage's recorded input; exact. sample_top_p and sample_min_p: in f64; places
// whose sum or probability lies within rounding of the edge have an alternative (docs/tolerances.md).
// sample_probs: the softmax in f64 with its bound; places at -inf are forbidden. sample_token: the inverse
// CDF over the recorded probabilities at the recorded noise. Throws Error when a stage's input was not
// recorded.
Replay replay_stage(Probe stage, const SampledStages& recorded, const SamplingStep& step,
                    const SamplingParams& params);

}  // namespace plumbline::reference
