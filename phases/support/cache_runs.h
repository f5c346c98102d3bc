// The generation loop over a cache that is given, so that loops over different caches can be set side by
// side.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "harness/engine.h"
#include "harness/sampling.h"

namespace plumbline::phases {

struct LoopRun {
  std::vector<TokenId> tokens;      // generated
  std::vector<Tensor> logits;       // of each step [1, vocab], f32
  std::vector<std::int64_t> bytes;  // of the cache after each step
  double prefill_seconds = 0;
  double decode_seconds = 0;  // of all steps after the prefill
};

struct LoopInput {
  std::vector<TokenId> prompt;
  std::int64_t steps = 8;  // tokens to choose; no end token is heeded
  SamplingParams sampling;
  std::vector<double> uniforms;  // one per step, where the temperature is not 0
};

// Prefill, then one token at a time into sequence 0 of a cache that is empty there; the native sampler, on
// the engine's device where it has one there.
LoopRun run_loop(Engine& engine, Cache& cache, const LoopInput& input);

// The same choices from a cache that is cleared and fed everything anew at each step.
LoopRun run_full_recompute(Engine& engine, Cache& cache, const LoopInput& input);

}  // namespace plumbline::phases
