// Suspects: known mistakes of engines, each computed from the inputs that the subject itself recorded, as a
// replay is. Where an op failed, the suspect whose output the subject's own is tells what went wrong.
//
// A suspect *fits* when the subject lies where the mistake would have put it, as nearly as the op's own bound
// asks of a right output; being nearer than the right answer is not enough. And something must speak against
// the right answer: an output that keeps its gates is right, whatever mistake it lies near to.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "harness/replay.h"
#include "harness/tolerance.h"

namespace plumbline {

struct Suspect {
  std::string name;     // "rotary pairs interleaved"
  std::string meaning;  // what such code does, and where to look, in a sentence
  // What the op would have given with this mistake, and the bound of that arithmetic (empty: the right
  // replay's; for exact ops a gate of 0). Places where `allowed` is false are no evidence. nullopt: an input
  // was not recorded. Valid while the step and the replayer live.
  std::function<std::optional<Replay>()> replay;
  // Has numbers that were fitted to this very output: the shape of an error and no known mistake. It ranks
  // behind a known one that fits.
  bool fitted = false;
};

// How well one suspect accounts for a failed op.
struct SuspectFit {
  std::string name;
  std::string meaning;
  // The elements in question: those where the subject, or the suspect, is beyond the gate around the right
  // answer. Of them, the share where the subject lies within the gate around the suspect's output.
  std::int64_t in_question = 0;
  double explained = 0;
  // Over them (over all where there is none): RMS distance of the subject's output to the suspect's, and to
  // the right answer. Tiny weights at forbidden places would be lost among the rounding errors of the rest.
  double to_suspect = 0;
  double to_right = 0;
  double overall = 0;  // the first of the two over all elements, the same for all suspects: by it they rank
  // Accounts for the elements in question, and is nearer to the subject than the right answer is. Not kept
  // in parts.
  bool alike = false;
  // Is alike, and the right answer does not account for the subject: at the places that the suspect speaks of
  // an element is beyond its gate, or the whole tensor beyond its own.
  bool fits = false;
  bool fitted = false;
  // Fits as well as the one ranked first, which is more specific or more usual: here the two cannot be told
  // apart.
  bool tied = false;
  // "could not be computed: …", where it threw; then it fits nothing, and ranks last.
  std::string trouble = {};
  std::size_t place = 0;  // in the list that was tried: the more usual first
};

// A suspect is alike when it explains at least this share of the elements in question, and the subject is at
// least twice as near to it as to the right answer. Where every element keeps its gate, and so does the
// suspect's, all of them are in question if the tolerance has a gate for the whole tensor and that is what
// may have failed; else none is: the suspect cannot be told from the right answer here.
inline constexpr double kExplainedShare = 0.99;

// Tries `suspects`, the more usual first, on a failed output; `right` is its replay. Gates are those of
// compare_op; for exact ops a suspect's own bound is its gate. Best first: those that fit, then the rest by
// their distance. One that throws is told in its `trouble`, and stops none of the others.
std::vector<SuspectFit> rank_suspects(const TensorView& actual, const Replay& right,
                                      const std::vector<Suspect>& suspects, const Tolerance& tolerance,
                                      OpClass op, double forbidden_weight);

// Sorts fits of one op, or those of them that somebody asks for, as rank_suspects does.
void rank_fits(std::vector<SuspectFit>& fits);

// The same for one failed op of a step, with the replayer's suspects for that op, then those that hold for
// any op (zeros, a constant factor, rows shifted, rounded to a half type). Empty where there is no replay.
// `names` asks for these alone; empty for all.
std::vector<SuspectFit> suspects_of(OpSite site, const RecordedStep& step, const Replayer& replayer,
                                    const Tolerances& tolerances, DType storage, DeviceKind device,
                                    double forbidden_weight = 0, const std::set<std::string>& names = {});

// What is said of a suspect that threw.
SuspectFit not_computed(std::string name, std::string meaning, const std::exception& trouble);

// Mistakes that any op can have, made from its right answer. `actual` and `right` must outlive them.
std::vector<Suspect> general_suspects(const TensorView& actual, const Replay& right,
                                      const Tolerance& tolerance, OpClass op);

// What the ranking comes to: "rotary pairs interleaved"; "a or b" where they are tied; "none fits", and then
// the shape of the error where there is one. Empty for an empty list.
std::string verdict_of(const std::vector<SuspectFit>& ranked);

}  // namespace plumbline
