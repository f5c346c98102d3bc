// Judging: a subject's output against the replay of its own inputs, op by op.
//
// A pass must be proven. For each op, in this order: it was recorded, with the right shape and dtype; no NaN
// or infinity; forbidden places hold nothing; then the exact rule or the element bound, the whole-tensor
// slope, and the ceiling. What agrees but proves nothing (a constant output) is mistrusted.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "harness/metrics.h"
#include "harness/replay.h"
#include "harness/suspects.h"
#include "harness/tolerance.h"
#include "harness/trace.h"
#include "harness/verdict.h"

namespace plumbline {

// The row and index of one element along a tensor's axes.
struct Place {
  std::vector<std::int64_t> index;
  std::string to_string() const;  // "[3, 0, 17]"
};
// Where the element with this row-major index lies.
Place place_of(const Shape& shape, std::int64_t logical_index);

struct OpResult {
  OpSite site;
  SequenceId sequence = 0;
  int step = 0;
  OpClass judged_as = OpClass::token_ids;
  Verdict verdict = Verdict::untested;
  std::string reason;  // of anything but a plain pass, and the assumption of a span
  bool trivial = false;
  bool exact = false;  // judged by the exact rule

  // Where the largest share of the gate was used.
  double error = 0;  // |y - y64| there
  double gate = 0;   // allowed there
  double share = 0;  // error / gate; for exact ops 0, or infinity for any difference
  Place worst;
  double slope = 0;  // z; 0 where the op has no such gate
  double differing =
      0;  // share of elements that differ from the emulated output; 0 where there is no such gate
  ErrorStats local;
  std::int64_t tie_flips = 0;  // places that hold the replay's alternative: then never passed, but skipped
  std::optional<ErrorStats> accumulated;      // against truth's own run
  std::optional<std::int64_t> first_bad_row;  // along the token axis (the key axis of a cache)
  std::int64_t bad_rows = 0;
  std::int64_t rows = 0;
  // By an Explainer: known mistakes that were tried on a failed op, best first; and, where none fits, where
  // the op is wrong.
  bool suspects_tried = false;
  std::vector<SuspectFit> suspects;
  std::string pattern;
};

struct JudgeOptions {
  bool require_all = true;  // an op that was not recorded is untested (our engines); false: skipped (foreign)
  bool our_engine = true;   // forbidden places must hold no weight at all; false: dust is let pass
  // What comes before the layers is judged with layer 0, and what comes after them with the last.
  int first_layer = 0;
  int last_layer = -1;           // -1: to the end
  int threads = 0;               // that judge at the same time; 0: as many as there are cores
  const Trace* truth = nullptr;  // the reference's f64 run of the same steps, for accumulated error
};

// The layer whose part of a trace this site belongs to: its own; for those before the layers the first, after
// them the last.
int judged_with_layer(OpSite site, int layers);

struct Judgement {
  std::vector<OpResult> ops;  // by sequence and step, then in graph order
  VerdictCounts counts() const;
  std::vector<const OpResult*> wrong() const;  // failed, mistrusted, error or untested, in order
};

// One op. harness/tolerance_row.h says which tolerance row judges it.
OpResult judge_op(OpSite site, const RecordedStep& step, const Replayer& replayer,
                  const Tolerances& tolerances, DType storage, DeviceKind device,
                  const JudgeOptions& options = {});

// The comparison itself, for one output with a known right answer; fills everything but the site.
OpResult compare_op(const TensorView& actual, const Replay& replay, const Tolerance& tolerance, OpClass op,
                    double forbidden_weight);

// Every op of every step, by the tolerance rows of the dtype that each output is kept in and of the trace's
// device; several at a time, with the same results whatever the number of threads. Throws Error for a trace
// of another checkpoint (weight hash).
Judgement judge(const Trace& subject, const Replayer& replayer, const Tolerances& tolerances,
                const JudgeOptions& options = {});

}  // namespace plumbline
