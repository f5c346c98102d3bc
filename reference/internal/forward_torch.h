// One sequence through Qwen2, from its first token on, with every probe on the way.
#pragma once

#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "harness/engine.h"
#include "reference/internal/history_cache.h"
#include "reference/internal/weights_torch.h"

namespace plumbline::reference {

// Rows are computed in blocks of this many, the last one filled up with rows that nothing attends to, and a
// query sees keys up to the end of its block. So every row is computed in shapes that depend on its place
// alone, and its bits do not depend on how many rows follow: a step's keys are those of the step before, and
// more.
inline constexpr std::int64_t kRowBlock = 32;

// Computed where the weights are; what a sink sees is on the host.
class ForwardPass {
 public:
  // past: rows of the sequence that are not of this step; probes show the others.
  ForwardPass(const ModelConfig& config, const Weights& weights, DType dtype, SequenceId sequence,
              std::int64_t past, ProbeSink& sink);

  // [0 | 1 | new rows, vocab]
  at::Tensor run(const History& history, LogitsWanted wanted);

 private:
  void emit(OpSite site, const at::Tensor& view);
  void emit_rows(Probe probe, int layer, const at::Tensor& all);  // the step's rows of [rows, …]
  void emit_masks();
  void prepare(const History& history);
  at::Tensor allowed(int layer) const;
  at::Tensor project(int layer, const std::string& name, const at::Tensor& x) const;
  at::Tensor norm(const at::Tensor& x, const at::Tensor& weight) const;
  at::Tensor attention(int layer, const at::Tensor& normed);
  at::Tensor attend(int layer, const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values);
  at::Tensor mlp(int layer, const at::Tensor& normed);
  at::Tensor head(const at::Tensor& normed, LogitsWanted wanted);

  const ModelConfig& config_;
  const DerivedArchitecture sizes_;
  const Weights& weights_;
  const at::ScalarType type_;
  const SequenceId sequence_;
  const std::int64_t past_;
  ProbeSink& sink_;

  std::int64_t length_ = 0;  // tokens of the whole sequence
  std::int64_t rows_ = 0;    // length_ rounded up to whole blocks
  at::Tensor ids_;           // i64 [rows]
  at::Tensor cos_;           // [rows, head_dim]
  at::Tensor sin_;
  at::Tensor allowed_full_;     // boolean [rows, rows]
  at::Tensor allowed_sliding_;  // undefined without sliding layers
};

// Whether full and sliding layers stand side by side, so that two mask probes replace the one.
bool layers_differ(const ModelConfig& config);

}  // namespace plumbline::reference
