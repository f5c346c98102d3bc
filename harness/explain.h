// From a judgement to words and rows: which ops are wrong, which comes first, where it shows.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "harness/judge.h"
#include "harness/report.h"

namespace plumbline {

// Suspects that were tried on one op.
struct Asked {
  OpSite site;
  SequenceId sequence = 0;
  int step = 0;
  std::set<std::string> names;  // of those alone; empty: of all that are known
  std::vector<SuspectFit> ranked;
  bool failed = false;                 // not one could be tried; `ranked` says why
  std::optional<std::string> pattern;  // where the op is wrong; none: nobody looked
};

// Tries suspects on ops of a trace, which must outlive it.
class SuspectTrial {
 public:
  SuspectTrial(const Trace& subject, const Replayer& replayer, const Tolerances& tolerances,
               bool our_engine = true);
  // `pattern_too`: looks where the op is wrong even where a suspect fits.
  Asked ask(const OpResult& op, const std::set<std::string>& names, bool pattern_too = false) const;

 private:
  std::string where_wrong(const OpResult& op, const RecordedStep& step) const;

  const Trace& subject_;
  const Replayer& replayer_;
  const Tolerances& tolerances_;
  const double forbidden_;  // weight
  std::map<std::pair<SequenceId, int>, std::size_t> step_of_;
  std::deque<TraceStepView> steps_;
};

// Between the traces of one Explainer.
struct SuspectsKnown {
  struct OfProbe {
    int whole_lists = 0;          // that were tried on this probe
    std::set<std::string> names;  // that fitted
  };
  int tries_left = 400;  // of names known
  std::map<Probe, OfProbe> probes;
};

using AskSuspects = std::function<Asked(const OpResult& op, const std::set<std::string>& names)>;

// Tries suspects on what failed, and notes the ranking in the judgement. The whole list is tried on the first
// wrong op of each probe; then, in other layers, steps and traces, what fitted there, and the whole list once
// more where that does not. Each try costs about a replay.
class Explainer {
 public:
  Explainer(const Replayer& replayer, const Tolerances& tolerances, bool our_engine = true)
      : replayer_(replayer), tolerances_(tolerances), our_engine_(our_engine) {}
  // Call it while the trace is whole: suspects read what the subject recorded.
  void explain(const Trace& subject, Judgement& judgement);

 private:
  const Replayer& replayer_;
  const Tolerances& tolerances_;
  const bool our_engine_;
  SuspectsKnown known_;
};

// The same of one trace, whoever answers.
void explain_in_order(Judgement& judgement, const AskSuspects& ask);

// "first wrong op: model.layers.2.self_attn.k_rope, local error 3.1e-02 (gate 1.0e-06), from position 1 on;
// matches *rotary pairs interleaved* to 6e-08 (the right answer is 3e-02 away)"; empty when nothing is wrong.
// Names sequence and step where the judgement holds several. Distances are RMS. Where none fits it says so.
std::string headline(const Judgement& judgement);

// For each op that went wrong, the ranked suspects with what speaks for them, and, where none fits, where it
// is wrong. The same op of several layers or steps is one entry where the outcome is the same. No rows where
// nothing was tried. Findings (op and suspect) that are in `shown` are left out, the others added to it.
Evidence suspects_of_wrong_ops(const Judgement& judgement, std::set<std::string>* shown = nullptr);

// One op as a row of a report.
Check to_check(const OpResult& result, const std::string& subject);
// A row for each op. Where the judgement holds several steps, the passed ops of one step and class share a
// row: the worst of them, with their count.
std::vector<Check> to_checks(const Judgement& judgement, const std::string& subject);

// Marks ops whose checks are all trivial as skipped (trivial): what a lone trace can say, where a phase would
// call them mistrusted.
void skip_trivial(Judgement& judgement);

// Where the errors of one run come from, by op, over all layers. All are relative L2 (root mean square over
// the layers): local, what the op did itself; inherited, what it would carry if its own arithmetic were exact
// (the replay of the subject's inputs against truth's output); accumulated, the subject's output against
// truth's. Amplified is the inherited error over the largest accumulated error among the op's inputs. `truth`
// holds every probe of the same steps.
Evidence error_split(const Trace& subject, const Trace& truth, const Replayer& replayer);

}  // namespace plumbline
