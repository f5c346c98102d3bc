// The harness on trial: parts of the trial, and what each found. Every judgement is made as the phases and
// `plumbline judge` make it: the reference's replays, and fixtures/tolerances.yaml.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "harness/judge.h"
#include "tests/mutants/cases.h"
#include "tests/mutants/mutations.h"
#include "tests/mutants/trial_loop.h"
#include "tests/mutants/trial_sampling.h"
#include "tests/mutants/trial_tokens.h"
#include "tests/support/temporary_directory.h"

namespace plumbline::mutants {

// A checkpoint in a folder, and the replayer that judges what ran on it.
class Stage {
 public:
  explicit Stage(const Checkpoint& checkpoint, DType storage = DType::f32);
  const Replayer& replayer() const { return *replayer_; }
  const std::filesystem::path& directory() const { return directory_.path(); }

 private:
  TemporaryDirectory directory_;
  std::unique_ptr<Replayer> replayer_;
};

// One sentence of the report for each thing that went wrong; none is what is hoped for.
using Complaints = std::vector<std::string>;

// Over several seeds of the case's weights: true is what holds in each of them, the texts are of the first
// seed in which something does not.
struct MutantResult {
  const Mutation* mutation = nullptr;
  bool changed = false;  // some recorded tensor differs from the clean run's
  bool killed = false;
  bool blamed_right = false;
  std::string first_wrong;     // "seq.0/step.0/model.layers.0.self_attn.q_rope"
  std::string wrong_ops;       // the kinds of all wrong ops
  std::string suspects;        // what explain says of the first wrong op
  bool suspect_first = false;  // or tied with the first: here the two cannot be told apart
  bool as_shape = false;       // named with numbers that were fitted to the output (SuspectFit::fitted)
};
// `only`: names of mutants; empty: all.
std::vector<MutantResult> try_mutants(const Tolerances& tolerances, const std::vector<std::string>& only,
                                      int seeds, const Format& format = {});
// Those that are no mistakes in this format: complaints where planting one changed a bit.
Complaints try_equivalents(const Format& format = {});
// Suspects tried on right ops of each case: complaints where one fits, where a known one is alike
// (SuspectFit::alike), or where one could not be computed.
Complaints try_suspects_on_right_ops(const Tolerances& tolerances, const Format& format = {});

struct CleanResult {
  std::string subject;
  int runs = 0;
  std::int64_t ops = 0;
  int false_alarms = 0;
  double largest_share = 0;
  std::string largest_at;
  std::string first_alarm;  // what to repeat, and what was said
};
// The worst over all clean runs.
struct OpShare {
  std::string op, at;
  std::int64_t checks = 0;
  double share = 0;  // of the gate
  // In half types, where a share is mostly half a spacing: the error beyond that and the roundings within the
  // op, in units of lambda B; and the share of elements that differ from the emulated output.
  double beyond = 0, differing = 0;
};
struct CleanRuns {
  std::vector<CleanResult> subjects;
  std::vector<OpShare> ops;
};
// `runs` runs of correct engines, from `seed` on; in a half type as many of each: of the third forward, and,
// where an op rounds once, of the native engine on `device`.
CleanRuns try_clean_runs(const Tolerances& tolerances, int runs, unsigned seed, const Format& format,
                         DeviceKind device);

// The smallest relative change that is caught, as exponents of two, in an output that is right otherwise.
struct Floor {
  std::string op, site, shape;
  int elements = 0;    // changed one at a time
  int one_median = 0;  // over them
  int one_worst = 0;
  int all = 0;         // all elements by one factor; worst over the seeds
  bool found() const;  // that is, some change was caught
};
// `large`: in the widths of Qwen2-0.5B too.
std::vector<Floor> find_floors(const Tolerances& tolerances, int seeds, bool large);

struct ProbeResult {
  std::string mistake;
  std::string length;
  int seeds = 0;
  int caught = 0;
  double median_share = 0;  // of the gate: 1 is the limit
  bool control() const;     // no mistake: must not be caught
  bool required() const;    // to be caught in 98 % of the seeds
  double share_caught() const { return seeds == 0 ? 0 : static_cast<double>(caught) / seeds; }
};
std::vector<ProbeResult> try_probes(const Tolerances& tolerances, int seeds, bool all_lengths);

// What one format of a half type came to.
struct HalfReport {
  Format format;
  std::vector<MutantResult> mutants;
  Complaints equivalents, false_suspects;
  CleanRuns clean;
};
Complaints complaints_of(const HalfReport& half);
std::string half_line(const HalfReport& half);                    // totals
std::string half_section(const std::vector<HalfReport>& halves);  // Markdown

struct TrialReport {
  int mutant_seeds = 0;
  std::vector<MutantResult> mutants;
  Complaints equivalents, false_suspects;
  std::vector<CleanResult> clean;
  std::vector<OpShare> shares;
  std::vector<Floor> floors;
  std::vector<ProbeResult> probes;
  std::vector<SamplingResult> sampling;
  std::vector<LoopResult> loop;
  std::vector<TokenResult> tokens;
  std::vector<HalfReport> halves;
  double seconds = 0;
};
// What is not as it must be; empty where the trial is passed.
Complaints complaints_of(const TrialReport& report);
std::string trial_line(const TrialReport& report);                              // totals
std::string trial_page(const TrialReport& report, const std::string& command);  // Markdown

}  // namespace plumbline::mutants
