// Where an op is wrong, in words: for a mistake that no suspect accounts for.
#pragma once

#include <string>
#include <vector>

#include "harness/replay.h"
#include "harness/tolerance.h"

namespace plumbline {

// Element by element: beyond its gate, as compare_op has it; empty where the shapes differ.
std::vector<bool> beyond_gate(const TensorView& actual, const Replay& right, const Tolerance& tolerance,
                              OpClass op, double forbidden_weight);

// "184 of 520 elements are wrong: every position, every head, channels 11–19 of 0–19; too large in size at 51
// % of them". Rows of heads are split by `head_dim`. Of an op by element, also the input that tells wrong
// places from right ones: "wrong exactly where mlp.gate_proj is above 1.5".
std::string error_pattern(OpSite site, const RecordedStep& step, const Replay& right,
                          const std::vector<bool>& wrong, std::int64_t head_dim);

}  // namespace plumbline
