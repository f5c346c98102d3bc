// One forward pass of Qwen2 over a batch of sequences, on the device. transformers: Qwen2ForCausalLM.forward.
#pragma once

#include <vector>

#include "harness/engine.h"
#include "impl/batch.h"
#include "impl/cache.h"
#include "impl/cuda/decode/step.h"
#include "impl/cuda/graphs.h"
#include "impl/cuda/matmul_library.h"
#include "impl/cuda/model_weights.h"
#include "impl/cuda/step_tables.h"
#include "impl/cuda/workspace.h"

namespace plumbline::native::cuda {

// What stays the same from call to call.
struct Model {
  const ModelConfig& config;
  const DerivedArchitecture& derived;
  const ModelWeights& weights;
  const std::vector<float>& inv_freq;
  DType storage;
  const std::vector<OpSite>& sites;  // of every probe
};

// What a pass works with; the engine's own.
struct DeviceState {
  Stream stream;
  Workspace& workspace;
  StepTables& tables;
  Graphs* graphs;                 // null: decode steps are launched one by one
  const DecodeStep* decode_step;  // null: they are of separate kernels
  MatmulLibrary* library;         // null: own kernels alone
};

// Queues the pass; the logits come to lie in workspace.logits, [logit_rows, vocab] f32. The cache must be in
// a transaction for these steps, and its memory on the device. Waits only where the sink writes to a probe or
// looks at the cache.
void forward(const Model& model, const DeviceState& state, const Batch& batch, NativeCache& cache,
             ProbeSink& sink);

}  // namespace plumbline::native::cuda
