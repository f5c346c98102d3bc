// Activations kept for training on them (sparse autoencoders): rows of chosen probes, one for each token that
// went through the engine, with where each came from. All memory is there from the start; prefill and decode
// steps write into it as the engine computes.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "harness/engine.h"
#include "impl/generation/captured_tokens.h"
#include "impl/generation/step_sink.h"

namespace plumbline::native {

class ActivationBuffer final : public StepSink {
 public:
  // `capacity` counts tokens. Throws Error for no probes, one named twice, one of a layer that the model does
  // not have, one without a floating row for every token (ids, masks, scores, caches, logits, sampling), a
  // capacity below 1, and more memory than there is, saying how much. The engine must outlive the buffer.
  ActivationBuffer(Engine& engine, std::span<const OpSite> probes, std::int64_t capacity);

  // Call before each forward() that is to be kept, with its steps. Throws Error when they do not fit: nothing
  // has changed then. Rows count once every probe of every step was written and the engine has shown the last
  // of its own; those of a forward() that threw are dropped by the next begin().
  void begin(std::span<const SequenceStep> steps) override;

  std::int64_t capacity() const { return capacity_; }
  std::int64_t rows() const { return tokens_.rows(); }
  std::int64_t bytes() const;  // allocated for activations
  // [rows, width], f32, in the order of the calls, within one that of its steps; a row per token. Good until
  // the buffer goes; later rows do not move it. Throws Error for a probe that is not kept.
  TensorView view(OpSite probe) const;
  // Of each row; good until the next begin() or clear().
  std::span<const ActivationOrigin> origins() const { return tokens_.origins(); }
  void clear();  // forgets all rows and keeps the memory

  Access access(const ProbeId& id) const override;
  void receive(const ProbeId& id, const TensorView& view) override;

 private:
  Tensor make_rows(OpSite probe, std::int64_t capacity) const;

  Engine& engine_;
  std::int64_t capacity_;
  std::map<OpSite, Tensor> kept_;  // [capacity, width]
  CapturedTokens tokens_;
  std::map<OpSite, std::size_t> awaited_;  // steps that have not written it yet
};

}  // namespace plumbline::native
