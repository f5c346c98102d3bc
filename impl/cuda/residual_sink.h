// Puts the device's residual sums into a CPU forward pass: a probe sink between the CPU engine and the
// caller's sink.
#pragma once

#include <map>

#include "harness/engine.h"
#include "impl/cuda/memory.h"

namespace plumbline::native {

class ResidualSink final : public ProbeSink {
 public:
  ResidualSink(ProbeSink& caller, Device device) : caller_(caller), device_(device) {}

  Access access(const ProbeId& id) const override;
  void receive(const ProbeId& id, const TensorView& view) override;
  void modify(const ProbeId& id, const MutableTensorView& view) override;

 private:
  // One sequence's inputs of the next residual sum, [tokens, hidden] each. The sum becomes the new stream.
  struct Inputs {
    DeviceBuffer stream;  // embed_tokens, then the latest residual sum
    DeviceBuffer delta;   // o_proj or down_proj
  };
  void upload(const ProbeId& id, const TensorView& view);
  void add(const ProbeId& id, const MutableTensorView& view);

  ProbeSink& caller_;
  Device device_;
  std::map<SequenceId, Inputs> inputs_;
};

}  // namespace plumbline::native
