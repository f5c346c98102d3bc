// The probes of a forward pass that are the same wherever it runs: token ids, positions and masks.
#pragma once

#include <cstdint>
#include <optional>

#include "harness/engine.h"
#include "impl/batch.h"

namespace plumbline::native {

// Keys that a query of this layer sees at most; nullopt: all before it.
std::optional<std::int64_t> window_of(const ModelConfig& config, int layer);

// Shows them to the sink, each step's by itself, on the host. Throws Error where the sink wants to write one:
// they are discrete.
void emit_inputs(const Batch& batch, const ModelConfig& config, ProbeSink& sink);

}  // namespace plumbline::native
