// One function for each op class: what the op should have given for its recorded inputs, in f64, and the
// bound. All throw NotReplayable where an input is missing, and Error where one has the wrong shape.
#pragma once

#include <string>

#include "harness/replay.h"
#include "reference/internal/recorded_torch.h"
#include "reference/internal/weights_torch.h"

namespace plumbline::reference {

// What every replay needs beside the recorded inputs.
struct ReplayModel {
  const ModelConfig& config;
  const DerivedArchitecture sizes;
  const Weights& weights;  // f64
  const DType storage;     // of the subject
};

// An op's i-th input as the probe table names it: a probe, or the residual stream; its last `rows` rows.
at::Tensor op_input(const ReplayModel& model, const Recorded& in, OpSite site, std::size_t i,
                    std::int64_t rows);
// B of fused attention, in units of the lambda of the row for this storage dtype. q: [heads, queries,
// head_dim]; k, v: [heads, keys, head_dim]; allowed: boolean [queries, keys].
at::Tensor fused_bound(const ReplayModel& model, const Recorded& in, const at::Tensor& q, const at::Tensor& k,
                       const at::Tensor& v, double scale, const at::Tensor& allowed);
// "self_attn.q_proj" + ".weight": weights are named as the probes that they make. Undefined where there is no
// such bias.
at::Tensor op_weight(const ReplayModel& model, OpSite site, const std::string& kind);

Replay replay_token_ids(const ReplayModel& model, const Recorded& in, OpSite site);
Replay replay_positions(const ReplayModel& model, const Recorded& in, OpSite site);
Replay replay_mask(const ReplayModel& model, const Recorded& in, OpSite site);
Replay replay_inv_freq(const ReplayModel& model, const Recorded& in, OpSite site);
Replay replay_cos_sin(const ReplayModel& model, const Recorded& in, OpSite site);
Replay replay_embedding(const ReplayModel& model, const Recorded& in, OpSite site);
Replay replay_rms_norm(const ReplayModel& model, const Recorded& in, OpSite site);
Replay replay_linear(const ReplayModel& model, const Recorded& in, OpSite site);
Replay replay_rope(const ReplayModel& model, const Recorded& in, OpSite site);
Replay replay_cache_update(const ReplayModel& model, const Recorded& in, OpSite site);
Replay replay_scores(const ReplayModel& model, const Recorded& in, OpSite site);
Replay replay_softmax(const ReplayModel& model, const Recorded& in, OpSite site);
Replay replay_context(const ReplayModel& model, const Recorded& in, OpSite site);
Replay replay_fused_attention(const ReplayModel& model, const Recorded& in, OpSite site);
Replay replay_residual(const ReplayModel& model, const Recorded& in, OpSite site);
Replay replay_silu_mul(const ReplayModel& model, const Recorded& in, OpSite site);

}  // namespace plumbline::reference
