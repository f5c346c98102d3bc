#include "impl/generation/step_sink.h"

#include <algorithm>

namespace plumbline::native {

void SinkList::add(StepSink& sink) {
  sinks_.push_back(&sink);
  told_.push_back(&sink);
}

void SinkList::add(ProbeSink& sink) {
  sinks_.push_back(&sink);
}

void SinkList::begin(std::span<const SequenceStep> steps) {
  for (StepSink* const each : told_) each->begin(steps);
}

ProbeSink::Access SinkList::access(const ProbeId& id) const {
  Access most = Access::none;
  for (const ProbeSink* const each : sinks_) most = std::max(most, each->access(id));
  return most;
}

void SinkList::receive(const ProbeId& id, const TensorView& view) {
  for (ProbeSink* const each : sinks_) {
    if (each->access(id) == Access::read) each->receive(id, view);
  }
}

void SinkList::modify(const ProbeId& id, const MutableTensorView& view) {
  for (ProbeSink* const each : sinks_) {
    if (each->access(id) == Access::write) each->modify(id, view);
  }
  receive(id, view);
}

}  // namespace plumbline::native
