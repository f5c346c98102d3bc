// From a judgement to words and rows: which ops are wrong, which comes first, where it shows.
#pragma once

#include <string>
#include <vector>

#include "harness/judge.h"
#include "harness/report.h"

namespace plumbline {

// "first wrong op: model.layers.2.self_attn.k_rope, local error 3.1e-02 (gate 1.0e-06), from position 1 on";
// empty when nothing is wrong. Names sequence and step where the judgement holds several.
std::string headline(const Judgement& judgement);

// One op as a row of a report.
Check to_check(const OpResult& result, const std::string& subject);
// A row for each op. Where the judgement holds several steps, the passed ops of one step and class share a
// row: the worst of them, with their count.
std::vector<Check> to_checks(const Judgement& judgement, const std::string& subject);

// Marks ops whose checks are all trivial as skipped (trivial): what a lone trace can say, where a phase would
// call them mistrusted.
void skip_trivial(Judgement& judgement);

// Per layer: the largest local share of the gate and the accumulated error of the residual stream.
Evidence error_by_layer(const Judgement& judgement);
// Largest accumulated error of [tokens, n] rows in up to 24 stretches of positions, with Pearson's r of the
// rows' largest errors against their position (evidence, never a gate). Rows alone: one position is no curve.
Evidence error_by_position(const TensorView& actual, const TensorView& expected);

// Per op class: checks, the largest share used, and where.
Evidence share_by_op(const Judgement& judgement);

}  // namespace plumbline
