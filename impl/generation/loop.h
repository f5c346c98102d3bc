// The generation loop: prefill, then one token at a time, over any engine with its cache; several sequences
// in each forward call, of any lengths, which stop when they stop.
#pragma once

#include <span>
#include <vector>

#include "harness/engine.h"
#include "harness/sampling.h"
#include "impl/generation/row.h"
#include "impl/generation/step_sink.h"

namespace plumbline::native {

// Runs the rows, all of contexts in one cache, until none is active. `sink` sees every forward call and every
// draw; begin() is called for the former. At most `prefill_chunk` tokens of a row go into one call: what came
// out would be the same with any number. Throws what engine, sampler, sink and callbacks throw; all rows are
// abandoned then (Row::abandon).
void run_loop(Engine& engine, Sampler& sampler, std::span<Row> rows, SinkList& sink,
              std::int64_t prefill_chunk);

}  // namespace plumbline::native
