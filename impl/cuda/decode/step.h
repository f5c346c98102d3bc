// A whole decode step, one new token of one sequence, as one persistent cooperative kernel: from the
// embedding to the logits, with the bits of the separate kernels (linear.h, rms_norm.h, rope.h, attention.h
// and so on).
//
// Every layer has five phases, and a barrier of the grid behind each: norm and q, k, v; attention; o and its
// residual; norm, gate, up and their product; down and its residual. While a block waits for the others, what
// depends on no activation is on its way: the next phase's first weights into registers, later ones into the
// L2 cache, old keys and values into shared memory.
//
// SPEED, as assumed; nothing was measured on a device. A decode step of separate kernels waits for some ten
// launches a layer, each 2 to 3 us even within a graph; a barrier of the grid is taken to be 1 to 1.5 us.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "harness/model.h"
#include "impl/batch.h"
#include "impl/cuda/decode/launcher.h"
#include "impl/cuda/model_weights.h"

namespace plumbline::native::cuda {

class DecodeStep {
 public:
  // Asks the device what it can do, brings a table of the layers there and allocates the step's activations.
  // `weights` must outlive it. Throws Error where a call of CUDA fails; a device or a model that it cannot
  // serve is no error: takes() says so.
  DecodeStep(Stream stream, const ModelConfig& config, const DerivedArchitecture& derived,
             const ModelWeights& weights, DType storage);

  // Whether run() can serve this call: one step of one row; the model's sizes and the device's shared memory
  // allow it; no layer sees more than kMostDecodeKeys keys; and `runs` [layers], the step's as they are in
  // the host's tables, lie on 16 bytes.
  bool takes(const Batch& batch, DType cache, std::span<const StepRuns> runs) const;

  // Queues the step: one launch, no allocation, nothing waits. tables: the device's, of a call that takes()
  // accepted. The new key and value of every layer go to the cache; logits: [vocab] f32, or null where nobody
  // wants them.
  void run(const Tables& tables, DType cache, float* logits) const { launcher_->run(tables, cache, logits); }

 private:
  std::unique_ptr<DecodeLauncher> launcher_;
  std::int64_t window_ = 0;  // the widest of the layers'; 0: one has none
};

}  // namespace plumbline::native::cuda
