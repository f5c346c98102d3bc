// Top-p and min-p in f64, with the places where rounding alone may decide.
#pragma once

#include "harness/replay.h"

namespace plumbline::reference {

// `input` are the scores before the stage, [vocab] f32, -inf where dropped; p in [0, 1), min_p in (0, 1].
// `expected` and `alternative` of the result are [vocab] f64.
Replay replay_top_p(const Tensor& input, double p);
Replay replay_min_p(const Tensor& input, double min_p);

// The softmax of `input` with B = u p (D + sum p D + sqrt(n)/2 + 4) + 2^-126, D_j = |s_j - max s|, over the n
// places above -inf; the others are not allowed.
Replay replay_sampling_softmax(const Tensor& input);

}  // namespace plumbline::reference
