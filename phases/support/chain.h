// The sampler chain run on one side and judged stage by stage.
#pragma once

#include "harness/sampling_judge.h"
#include "phases/support/logit_rows.h"

namespace plumbline::phases {

// All stages off but this one.
SamplingParams at_temperature(double temperature);

// One draw of the native sampler: every stage it recorded against the reference's replay of that stage's own
// input, that its filters keep the best, and the token against the reference chain's from the same logits and
// the same uniform. Records the checks, and returns the native draw for a case's own.
Draw record_chain(const LogitRow& row, const SamplingParams& params, double uniform);

// The native sampler's draw, for checks of a case's own.
Draw native_draw(const LogitRow& row, const SamplingParams& params, double uniform);

// f64 probabilities of a stage's scores, [vocab].
Tensor exact_probabilities(const Tensor& scores);

}  // namespace plumbline::phases
