// Tables and pictures of errors, shown under a case and never judged: what a judgement looks like from afar
// (by op, component, layer), what an accumulated error does along a sequence, and one op seen closely.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "harness/judge.h"
#include "harness/report.h"

namespace plumbline {

// Per op class: checks, the largest share used, and where; with a heat map of layer and op.
Evidence share_by_op(const Judgement& judgement);

// The parts of the model in the order in which to look into them: those with wrong ops by the first of these
// in graph order, then the others by the largest share of a gate.
Evidence share_by_component(const Judgement& judgement);

// Per layer, over all these judgements: the largest share of a gate, the largest local error of an op and the
// accumulated error of the residual stream (both as relative L2), and the stream's growth over the layer
// before, the geometric mean over the runs.
Evidence error_by_layer(std::span<const Judgement* const> judgements);
Evidence error_by_layer(const Judgement& judgement);

// Largest accumulated error of [tokens, n] rows in up to 24 stretches of positions, with Pearson's r of the
// rows' largest errors against their position. Rows alone: one position is no curve.
Evidence error_by_position(const TensorView& actual, const TensorView& expected);

// Final logits of one prompt, [tokens, vocab] each; valid while the table is made.
struct LogitsOfPrompt {
  std::string prompt;
  TensorView actual, expected;
};
// Accumulated errors by prompt, the shortest first, beside the targets that are shown and never judged: max
// abs < 1e-4, mean abs < 1e-5, r of error with position < 0.1.
Evidence error_by_prompt(std::vector<LogitsOfPrompt> prompts);

// What the indices along one axis of a tensor are: "position", "head".
using AxisNames = std::vector<std::string>;
// One row for each axis: how the error is spread over it, where it is largest, how it goes with the index.
Evidence error_along_axes(const std::string& title, const AxisNames& names, const TensorView& actual,
                          const TensorView& expected, const TensorView& allowed = {});

struct OpOfRun {
  std::size_t run = 0;  // index of its judgement
  const OpResult* op = nullptr;
};
// Which ops to see closely: the first three wrong ones in graph order that were compared at all, each op
// once, where it has the most rows; where none is wrong, the one of a layer that used the largest share of
// its gate.
std::vector<OpOfRun> ops_to_see_closely(std::span<const Judgement* const> judgements);

// One op of one step seen closely: its local error along its axes, and its ten worst points. `head_dim`
// splits the outputs of projections into heads; 0 leaves them whole.
std::vector<Evidence> op_seen_closely(OpSite site, const std::string& subject, const TensorView& actual,
                                      const Replay& replay, const Tolerance& tolerance,
                                      std::int64_t head_dim);
// The same, replayed from what was recorded; nothing where that cannot be done.
std::vector<Evidence> op_seen_closely(OpSite site, const std::string& subject, const RecordedStep& step,
                                      const Replayer& replayer, const Tolerances& tolerances, DType storage,
                                      DeviceKind device);

}  // namespace plumbline
