// What a phase suite reports, and the files made from it. A suite writes one JSON part; one merge turns the
// parts into SUMMARY.md, phaseN_*.md, report.json and junit.xml, so that a suite that crashed is an error in
// the summary and loses nobody else's results.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "harness/picture.h"
#include "harness/verdict.h"

namespace plumbline {

// One thing checked. `measured`, `gate` and `smallest_gate` are in the metric's own unit; a gate of 0 asks
// for exactness.
struct Check {
  std::string what;     // "model.layers.2.self_attn.k_rope", "field rms_norm_eps"
  std::string subject;  // the input: a prompt, a model, options; may be empty
  std::string op;       // op class name, empty for checks that are no op checks
  std::string metric;   // "max abs", "mismatches", …
  double measured = 0;
  double gate = 0;
  double share = 0;          // of the gate that was used: 1 is the limit (exact checks: 0 or infinity)
  double smallest_gate = 0;  // that would have passed
  Verdict verdict = Verdict::untested;
  bool trivial = false;  // right, but proves nothing: an op that is nowhere else checked is mistrusted
  int count = 1;     // checks that this row stands for: it shows the worst of them, and all have its verdict
  std::string note;  // reason of a skip, place of the worst point, assumption
};

// A small table shown under a case: evidence, not judged. Without a header: lines of text.
struct Evidence {
  std::string title;
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
  std::optional<Picture> picture{};  // of the same figures, drawn beside the page where that can be done
};

struct CaseReport {
  std::string id;     // "3.2"
  std::string title;  // "several tokens"
  std::vector<Check> checks;
  std::vector<Evidence> evidence;
  std::string message;   // of a crash (an error) or of a failed assertion beside the checks (a failure)
  bool crashed = false;  // an exception escaped, or the suite ended in this case: verdict error
  double seconds = 0;
  int checked() const;           // all that its rows stand for
  VerdictCounts counts() const;  // of the same; a case without checks is untested, a crash adds an error
};

// "name: value" pairs that may differ between two equal runs: commit, CPU, instruction set, LibTorch,
// threads.
struct Environment {
  std::vector<std::pair<std::string, std::string>> entries;
};

struct PhaseReport {
  int phase = 0;      // 0: a judgement, which is no phase
  std::string name;   // "config", "tokenization", "forward", "sampling", "generation"
  std::string title;  // "Phase 3: forward pass"
  std::string model;  // as given on the command line
  // Where its page lies beneath the reports, of a run over several models: a plain name, empty for the first.
  std::string folder;
  std::string engine;
  std::string
      repeat_command;  // "./run_phases.sh --phase 3 --model … ", to which a phase's " --case 3.2" is added
  // The sentence an engineer needs on a failure: "first wrong op: …"; empty when nothing failed.
  std::string headline;
  std::vector<std::string> assumptions;
  std::vector<CaseReport> cases;
  Environment environment;
  bool finished = false;  // false in a part whose suite did not reach its end
  std::string running;    // of an unfinished part: the case that had begun when it was written
  std::string error;      // of an unfinished phase: how its suite ended ("killed by signal 11 (SIGSEGV)")
  bool partial = false;   // only some of the phase's cases were asked for
  double seconds = 0;
  std::int64_t peak_bytes = 0;  // of the suite's memory; 0 where nobody measured it
  // Counts of judged_cases(). A phase without any check is untested, an unfinished one has an error at least.
  VerdictCounts counts() const;
  // Op classes whose checks in this phase are all trivial (skipped ones aside). Empty for a partial phase,
  // which cannot know: there they are skipped instead.
  std::vector<std::string> mistrusted_ops() const;
  // The cases, where the passed checks of an op class that has only trivial ones are mistrusted.
  std::vector<CaseReport> judged_cases() const;
  // The sentence that opens the page when something is wrong: `headline`, or else what is known of the first
  // crash, failure, untested case or mistrusted op. Empty when nothing is wrong.
  std::string opening_sentence() const;
  // Repeats the first case that is wrong; empty when nothing is.
  std::string repeat_case_command() const;
};

// "Phase 3: forward pass", and ", slim" where the folder is.
std::string phase_label(const PhaseReport& phase);

// What is not as it was in an earlier report (harness/report_baseline.h). Evidence: no verdict depends on it.
struct BaselineChanges {
  std::string from;                 // the earlier report.json, as given
  std::vector<std::string> phases;  // those compared, as "3" or "3 (slim)": both runs have them
  std::vector<Evidence> tables;     // none: no change
};

// A run: all phases that were asked for.
struct RunReport {
  std::vector<PhaseReport> phases;
  std::optional<BaselineChanges> changes;  // where there was something to compare with; not in report.json
  std::string skipped_reason;              // when nothing could be run ("no CUDA device"): exit 3
  // With a `skipped_reason`, the run itself counts as one skip.
  VerdictCounts counts() const;
};

// JSON. NaN and infinities are the strings "nan", "inf", "-inf"; bytes that are not UTF-8 become U+FFFD. The
// readers throw Error, naming `where`, for text that is no report.
std::string to_json(const PhaseReport& phase);
PhaseReport phase_from_json(const std::string& text, const std::string& where);
RunReport run_from_json(const std::string& text, const std::string& where);

// The part that a suite left at `path`. `asked` says which phase was asked for (number, name, title): a part
// that is missing or unreadable gives that phase with the error that it left no results. In an unfinished
// part, the case that was running is marked as crashed. `ending` says how the suite ended, empty when well.
PhaseReport read_part(const std::filesystem::path& path, const PhaseReport& asked, const std::string& ending);

// Markdown. Pictures that were drawn are linked by their names, for those that were not there is one line.
std::string phase_page(const PhaseReport& phase, const Drawings& drawings = {});
std::string phase_page_name(const PhaseReport& phase);  // "phase3_forward.md", "slim/phase3_forward.md"
std::string summary_page(const RunReport& run);         // Markdown
std::string summary_table(const RunReport& run);        // plain text for a terminal
std::string report_json(const RunReport& run);
std::string junit_xml(const RunReport& run);

// Writes all pages of `run` into `directory`, each whole or not at all (temporary file, then rename), and
// removes the pages of phases that this run did not judge (in folders: those that the report.json before this
// one names), so that no page contradicts the summary. Throws Error when the directory cannot be made or
// written.
void write_reports(const RunReport& run, const std::filesystem::path& directory);

// Writes `text` to `path` whole or not at all. Throws Error.
void write_file_atomically(const std::filesystem::path& path, const std::string& text);

}  // namespace plumbline
