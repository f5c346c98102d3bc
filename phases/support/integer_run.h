// The subject over a checkpoint of small whole numbers: what every linear layer, the embedding, the residual
// stream, the masks and the caches hold, against plain integer arithmetic, tolerance 0.
#pragma once

#include <map>
#include <memory>

#include "harness/engine.h"
#include "harness/exact_inputs.h"
#include "phases/support/integer_model.h"

namespace plumbline::phases {

// By probe. Besides: what the cache held when it was read back at the end.
struct IntegerRun {
  std::map<Probe, ExactTally> tallies;
  ExactTally cache_read_back;
};

// Two sequences over a cache of this kind: one of `tokens` tokens beside one of a single token, then a decode
// step of the first alone, then a chunk of 7 beside a decode step. The inputs of linear layers (outputs of
// norms, contexts, products of the gate) are overwritten with small whole numbers as the engine computes, so
// that no op's rounding reaches the next.
IntegerRun run_on_integers(Engine& engine, const IntegerModel& model, CacheKind kind, std::int64_t tokens);

}  // namespace plumbline::phases
