// One function for each op class: what the op should have given for its recorded inputs, in f64, and the
// bound. All throw NotReplayable where an input is missing, and Error where one has the wrong shape.
#pragma once

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
