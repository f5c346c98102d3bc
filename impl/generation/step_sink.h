// Probe sinks that know which tokens a forward call computes: captures with provenance, interventions at
// chosen positions. Who calls forward() tells them first.
#pragma once

#include <span>
#include <vector>

#include "harness/engine.h"

namespace plumbline::native {

class StepSink : public ProbeSink {
 public:
  // Called before each forward(), with its steps, good until forward() returns. May throw Error to refuse
  // them: nothing has been computed then.
  virtual void begin(std::span<const SequenceStep> steps) = 0;
};

// Several sinks as one. Those that write see a probe first, in the order given; those that read see what is
// left there.
class SinkList final : public StepSink {
 public:
  // They must outlive it. A plain ProbeSink gets no begin().
  void add(StepSink& sink);
  void add(ProbeSink& sink);
  bool empty() const { return sinks_.empty(); }

  void begin(std::span<const SequenceStep> steps) override;
  Access access(const ProbeId& id) const override;
  void receive(const ProbeId& id, const TensorView& view) override;
  void modify(const ProbeId& id, const MutableTensorView& view) override;

 private:
  std::vector<ProbeSink*> sinks_;
  std::vector<StepSink*> told_;
};

}  // namespace plumbline::native
