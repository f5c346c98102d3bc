// One row's logits of a forward call, wherever the engine left them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "harness/engine.h"
#include "harness/sampling.h"

namespace plumbline::native {

// Copies to the host once, and only where somebody asks for them there.
class StepLogits {
 public:
  // Both must outlive it.
  StepLogits(Engine& engine, const Sampler& sampler) : engine_(engine), sampler_(sampler) {}
  StepLogits(const StepLogits&) = delete;
  StepLogits& operator=(const StepLogits&) = delete;

  // [1, vocab] of forward(), good until its next call; empty where a step asked for none.
  void begin(const TensorView& view);
  std::int64_t vocab() const { return view_.elements(); }
  // [vocab], where the sampler takes them: on the device or f32 on the host.
  TensorView for_sampler();
  std::span<const float> on_host();  // f32, good until begin()

 private:
  Engine& engine_;
  const Sampler& sampler_;
  TensorView view_;
  std::span<const float> on_host_;
  std::vector<float> copied_;
};

}  // namespace plumbline::native
