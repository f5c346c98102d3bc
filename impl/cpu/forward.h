// One forward pass of Qwen2 over a batch of sequences. transformers: Qwen2ForCausalLM.forward.
#pragma once

#include <vector>

#include "harness/engine.h"
#include "impl/batch.h"
#include "impl/cache.h"
#include "impl/cpu/context.h"
#include "impl/cpu/emitter.h"
#include "impl/cpu/model_weights.h"

namespace plumbline::native {

// Activations, kept between calls so that a decode step allocates nothing. [rows, …] each.
struct Workspace {
  std::vector<float> stream;  // the residual stream [rows, hidden]
  std::vector<float> normed;  // [rows, hidden]
  std::vector<float> delta;   // what is added to the stream: o_proj, down_proj [rows, hidden]
  std::vector<float> query, key, value;
  std::vector<float> context;   // [rows, query_dim]
  std::vector<float> gate, up;  // [rows, intermediate]
  std::vector<float> inv_freq;  // [steps, head_dim / 2]: one table per sequence, a sink may write to it
  std::vector<float> cos, sin;  // [rows, head_dim]
  std::vector<float> scores, probs;
  std::vector<float> head_input;  // [logit_rows, hidden]
  std::vector<float> logits;      // [logit_rows, vocab]
};

struct Model {
  const ModelConfig& config;
  const DerivedArchitecture& derived;
  const ModelWeights& weights;
  const std::vector<float>& inv_freq;
  const Precision& precision;
};

// Leaves the logits in workspace.logits. The cache must be in a transaction for these steps.
void forward(const CpuContext& context, const Model& model, const Batch& batch, NativeCache& cache,
             ProbeSink& sink, Workspace& workspace);

}  // namespace plumbline::native
