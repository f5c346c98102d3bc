// The device buffers of a forward pass, kept between calls: a decode step allocates nothing.
#pragma once

#include <cstdint>

#include "harness/model.h"
#include "impl/cuda/attention/plan.h"
#include "impl/cuda/memory.h"

namespace plumbline::native::cuda {

struct Workspace {
  // In the storage dtype. [rows, ...] each.
  DeviceBuffer stream;  // the residual stream [rows, hidden]
  DeviceBuffer normed;  // [rows, hidden]
  DeviceBuffer delta;   // what is added to the stream: o_proj, down_proj [rows, hidden]
  DeviceBuffer query, key, value;
  DeviceBuffer context;     // [rows, query_dim]
  DeviceBuffer gate, up;    // [rows, intermediate]
  DeviceBuffer head_input;  // [logit_rows, hidden]
  // f32.
  DeviceBuffer cos, sin;  // [rows, head_dim]
  DeviceBuffer scores;    // impl/cuda/attention/plan.h
  DeviceBuffer probs;     // the same; only for who looks at scores or weights
  DeviceBuffer partials;  // of the context
  DeviceBuffer logits;    // [logit_rows, vocab]

  // Room for a batch. Whether any buffer has moved.
  bool reserve(const ModelConfig& config, const DerivedArchitecture& derived, DType storage,
               std::int64_t rows, std::int64_t logit_rows, const AttentionPlan& plan, bool probs_apart);
};

}  // namespace plumbline::native::cuda
