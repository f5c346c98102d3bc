// The accumulated error: how far a whole run has drifted from truth's own. Where goldens say which checkpoint
// this is, it is held to the contract for final logits. How far rounding alone may drift depends on the
// model: for a checkpoint that nobody has measured, or in a half type, it is shown and not judged, while each
// of its ops is.
#pragma once

#include <string>

#include "harness/report.h"
#include "phases/support/sides.h"

namespace plumbline::phases {

// Collects what one case shows; add_evidence() it when the case ends.
class AccumulatedErrors {
 public:
  // Checks of check_logits(): recorded under `what` where goldens judge the subject, shown
  // elsewhere.
  void add(const std::string& what, std::vector<Check> checks);
  void add_logits(const JudgedPrompt& run);
  // The most likely token at every position: truth's own. Where none judge, another one is shown where
  // truth's margin between the two is within what both runs may be off: twice the larger of the contract for
  // final logits and 4 times what the reference's own run in the subject's dtype is off by in that row.
  void add_next_tokens(const JudgedPrompt& run);
  // Verdicts on the same choices (harness/token_verdict.h), with one row of the table for each prompt. A
  // wrong token fails, and drift where there are goldens; tie-flips fail where the whole case has more than
  // its share.
  void add_token_verdicts(const JudgedPrompt& run);
  // The tables of what was shown; to be called once, at the end of a case.
  void finish();

 private:
  void show(const std::string& what, const std::string& prompt, const std::string& metric, double measured,
            const std::string& beside);
  std::int64_t tokens_ = 0, tie_flips_ = 0;
  Evidence token_table_{"token choices against truth's, teacher-forced",
                        {"prompt", "tokens", "match", "drift", "tie-flip", "wrong", "mean KL (nats)",
                         "largest KL", "top-5 shared", "top-50 shared",
                         "least margin of truth's best two (ULP)", "largest margin at a tie-flip (ULP)"},
                        {}};
  Evidence shown_{
      "accumulated error: shown, not judged", {"what", "prompt", "metric", "measured", "beside it"}, {}};
};

}  // namespace plumbline::phases
