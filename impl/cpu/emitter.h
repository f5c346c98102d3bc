// Hands views of the engine's buffers to a probe sink, one sequence at a time.
#pragma once

#include "harness/engine.h"
#include "impl/batch.h"

namespace plumbline::native {

class Emitter {
 public:
  Emitter(ProbeSink& sink, const Batch& batch, DType storage, const Precision& precision)
      : sink_(sink), batch_(batch), storage_(storage), precision_(precision) {}

  using Access = ProbeSink::Access;
  Access access(OpSite site, const BatchStep& step) const { return sink_.access({site, step.sequence}); }
  bool wants(OpSite site, const BatchStep& step) const { return access(site, step) != Access::none; }

  // A floating tensor of one sequence, contiguous; may be written to where the sink asks. `data` holds values
  // of the dtype that the engine keeps the probe in, and the sink sees that dtype.
  void tensor(OpSite site, const BatchStep& step, float* data, const Shape& shape) const;
  void tensor(OpSite site, const BatchStep& step, const MutableTensorView& view) const;
  // Each sequence's rows of a buffer [rows, width].
  void rows(OpSite site, float* buffer, std::int64_t width) const;
  // The same with rows of [heads, head_dim].
  void head_rows(OpSite site, float* buffer, std::int64_t heads, std::int64_t head_dim) const;

 private:
  ProbeSink& sink_;
  const Batch& batch_;
  DType storage_;
  const Precision& precision_;
};

}  // namespace plumbline::native
