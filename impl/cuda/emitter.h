// Hands views of the engine's device buffers to a probe sink, one sequence at a time.
#pragma once

#include <span>

#include "harness/engine.h"
#include "impl/batch.h"
#include "impl/cuda/launch_shape.h"

namespace plumbline::native::cuda {

// One probe's rows of a batch, in a device buffer [rows, width...].
struct ShownRows {
  void* data = nullptr;
  DType dtype = DType::f32;
  Shape row;  // of one row: {width} or {heads, head_dim}
};

class Emitter {
 public:
  Emitter(ProbeSink& sink, const Batch& batch, Stream stream) : sink_(sink), batch_(batch), stream_(stream) {}

  using Access = ProbeSink::Access;
  Access access(OpSite site, const BatchStep& step) const { return sink_.access({site, step.sequence}); }
  // Whether the sink wants one of these of any sequence.
  bool listens(std::span<const OpSite> sites) const;

  // A tensor of one sequence. Reading sinks see it on the device; for writing ones it comes to the host and
  // goes back, which waits.
  void tensor(OpSite site, const BatchStep& step, void* data, DType dtype, const Shape& shape) const;
  // A tensor that lies on the host.
  void on_host(OpSite site, const BatchStep& step, const MutableTensorView& view) const;
  void rows(OpSite site, const ShownRows& shown) const;  // each sequence's

 private:
  ProbeSink& sink_;
  const Batch& batch_;
  Stream stream_;
};

// A view of memory on the engine's device, contiguous.
TensorView device_view(const void* data, DType dtype, const Shape& shape);

}  // namespace plumbline::native::cuda
