#include "impl/generation/loop.h"

namespace plumbline::native {
namespace {

// Logits on the host and in f32, whatever the engine computes in: sampling begins there.
class HostLogits {
 public:
  explicit HostLogits(Engine& engine) : engine_(engine) {}

  // `view`: [1, vocab]. Good until the next call, and the engine's next forward().
  std::span<const float> read(const TensorView& view) {
    if (view.device.kind == DeviceKind::cpu && view.dtype == DType::f32 && view.is_contiguous())
      return {view.as<float>(), static_cast<std::size_t>(view.elements())};
    const Tensor host = engine_.to_host(view);
    values_.resize(static_cast<std::size_t>(host.elements()));
    for (std::size_t i = 0; i < values_.size(); ++i)
      values_[i] = static_cast<float>(element_as_f64(host.view(), static_cast<std::int64_t>(i)));
    return values_;
  }

 private:
  Engine& engine_;
  std::vector<float> values_;
};

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
  engine.synchronize();
  const double seconds = seconds_since(start);
  HostLogits host(engine);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const bool wanted = steps[i].logits != LogitsWanted::none;
    const auto row = wanted ? host.read(logits.steps.at(i)) : std::span<const float>();
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
