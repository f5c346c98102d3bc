// The native sampler: repetition penalty, temperature, top-k, top-p, min-p, softmax, draw, each a probe.
// Semantics of transformers' logits processors (generation/logits_process.py, 5.23); see harness/sampling.h.
#pragma once

#include <memory>

#include "harness/sampling.h"

namespace plumbline::native {

std::unique_ptr<Sampler> make_sampler();

}  // namespace plumbline::native
