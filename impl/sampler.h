// The native sampler: penalties, temperature, top-k, top-p, min-p, softmax, draw, each a probe. Semantics of
// transformers' logits processors (generation/logits_process.py, 5.23) where it has the stage; see
// harness/sampling.h and docs/sampling.md.
#pragma once

#include <cstdint>
#include <memory>

#include "harness/sampling.h"

namespace plumbline::native {

// Its own stream is uniform(seed, row, step) of impl/rng.h. It holds room for the largest vocabulary that it
// has seen, and allocates nothing more: for one thread at a time.
std::unique_ptr<Sampler> make_sampler(std::uint64_t seed = 0);

// The engine's own on its device (impl/cuda/sampling/sampler.h), where it has one; else the above. The engine
// must outlive it.
std::shared_ptr<Sampler> sampler_for(const Engine& engine, std::uint64_t seed = 0);

}  // namespace plumbline::native
