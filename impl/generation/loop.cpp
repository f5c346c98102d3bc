#include "impl/generation/loop.h"

#include "impl/generation/step_logits.h"

namespace plumbline::native {
namespace {

// One forward call for the rows that are active; false when none is.
bool advance(Engine& engine, Sampler& sampler, std::span<Row> rows, SinkList& sink,
             std::int64_t prefill_chunk) {
  std::vector<SequenceStep> steps;
  std::vector<Row*> computed;
  for (Row& row : rows) {
    if (!row.active()) continue;
    const SequenceStep step = row.next_step(prefill_chunk);
    if (!row.active()) continue;
    steps.push_back(step);
    computed.push_back(&row);
  }
  if (steps.empty()) return false;
  sink.begin(steps);
  const Clock::time_point start = Clock::now();
  const Logits logits = engine.forward(steps, computed.front()->context().cache(), sink);
  if (!sampler.takes_device_logits()) engine.synchronize();  // else the token is what is waited for
  const double seconds = seconds_since(start);
  StepLogits row(engine, sampler);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    row.begin(steps[i].logits != LogitsWanted::none ? logits.steps.at(i) : TensorView());
    computed[i]->computed(steps[i], row, seconds, sampler, sink);
  }
  return true;
}

}  // namespace

void run_loop(Engine& engine, Sampler& sampler, std::span<Row> rows, SinkList& sink,
              std::int64_t prefill_chunk) {
  try {
    while (advance(engine, sampler, rows, sink, prefill_chunk)) {
    }
  } catch (...) {
    for (Row& row : rows) row.abandon();
    throw;
  }
}

}  // namespace plumbline::native
