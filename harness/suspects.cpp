#include "harness/suspects.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "harness/error_pattern.h"
#include "harness/gate.h"
#include "harness/half.h"
#include "harness/judge.h"
#include "harness/tolerance_row.h"

namespace plumbline {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kTie = 1.5;     // distances this near to each other tell nothing apart
constexpr double kNearer = 0.5;  // of the distance to the right answer, at most

// To nearest, ties to even, where `stored` is a half type.
double as_stored(double value, DType stored) {
  if (stored == DType::bf16) return bf16_to_f32(f32_to_bf16(static_cast<float>(value)));
  if (stored == DType::f16) return f16_to_f32(f32_to_f16(static_cast<float>(value)));
  return value;
}

// An answer and the gates around it.
class Answer {
 public:
  // An empty bound: every gate is 0.
  Answer(const Replay& replay, const Tensor& bound, const Tensor& roundings, const Tolerance& tolerance,
         DType stored)
      : values_(replay.expected),
        gates_(values_.view(), bound.values<double>(), roundings.values<double>(), tolerance, stored),
        emulated_(replay.emulated.values<double>()),
        stored_(stored) {}
  double value(std::int64_t i) const { return element_as_f64(values_.view(), i); }
  // As an engine would store it: the roundings that storing makes are no distance between two answers. Where
  // only `right` says how it rounds on its way, an answer that is the same before is the same behind.
  double stored(std::int64_t i, const Answer& right) const {
    if (!emulated_.empty()) return emulated_[static_cast<std::size_t>(i)];
    const double here = as_stored(value(i), stored_);
    const bool same = !right.emulated_.empty() && here == as_stored(right.value(i), stored_);
    return same ? right.emulated_[static_cast<std::size_t>(i)] : here;
  }
  double gate(std::int64_t i) const { return gates_.at(i, value(i)); }
  // Whether y is where this answer would have it.
  bool hold(std::int64_t i, double y) const { return within(i, y, gate(i)); }
  bool within(std::int64_t i, double y, double gate) const {
    const double expected = value(i);
    if (y == expected || (std::isnan(y) && std::isnan(expected))) return true;
    const double error = std::fabs(y - expected);
    return std::isfinite(error) && error <= gate;
  }

 private:
  const Tensor& values_;
  const Gates gates_;
  const std::span<const double> emulated_;
  const DType stored_;
};

bool forbidden(const Tensor& allowed, std::int64_t i) {
  return !allowed.empty() && allowed.values<std::uint8_t>()[static_cast<std::size_t>(i)] == 0;
}

// A running mean of squared distances. The same NaN or infinity on both sides is no distance.
struct Distance {
  double squares = 0;
  std::int64_t count = 0;
  void add(double y, double expected) {
    ++count;
    if (y == expected || (std::isnan(y) && std::isnan(expected))) return;
    const double error = y - expected;
    squares += std::isfinite(error) ? error * error : kInfinity;
  }
  double rms() const { return count > 0 ? std::sqrt(squares / static_cast<double>(count)) : 0.0; }
};

struct Question {
  const TensorView& actual;
  const Replay& right;
  const Tolerance& tolerance;
  OpClass op;
  double forbidden_weight;
  bool whole = false;  // what the whole tensor must keep is in question (whole_in_question)
};

// Whether the whole tensor may be what failed: no element is beyond its gate, and more of them differ from
// the emulated output than may. A slope is not asked for its size: the rows at hand may be a window of those
// that were judged, and in fewer outputs it is smaller.
bool whole_in_question(const TensorView& actual, const Replay& right, const Tolerance& tolerance, OpClass op,
                       double forbidden_weight) {
  if (!tolerance.largest_slope && !tolerance.largest_differing) return false;
  const OpResult judged = compare_op(actual, right, tolerance, op, forbidden_weight);
  if (judged.bad_rows > 0) return false;
  if (tolerance.largest_slope) return true;
  return !(judged.differing <= *tolerance.largest_differing);
}

// Of an output that has not even the right shape: every element is in question.
void measure_other_shape(const Question& question, const Replay& suspect, const Answer& answer,
                         SuspectFit& fit) {
  Distance to_suspect;
  std::int64_t explained = 0;
  for (std::int64_t i = 0; i < suspect.expected.elements(); ++i) {
    const double y = element_as_f64(question.actual, i);
    to_suspect.add(y, answer.value(i));
    explained += answer.hold(i, y) ? 1 : 0;
  }
  fit.in_question = suspect.expected.elements();
  fit.explained =
      static_cast<double>(explained) / static_cast<double>(std::max<std::int64_t>(fit.in_question, 1));
  fit.to_suspect = fit.overall = to_suspect.rms();
  fit.to_right = kInfinity;
  fit.fits = fit.alike = fit.in_question > 0 && fit.explained >= kExplainedShare;
}

void measure(const Question& question, const Replay& suspect, SuspectFit& fit) {
  const Replay& right = question.right;
  const bool same_shape = right.expected.shape() == question.actual.shape;
  const bool exact = question.tolerance.rule == Rule::exact;
  static const Tensor none;
  const Tensor& usual = exact ? none : right.bound;
  const Tensor& usual_roundings = exact ? none : right.roundings;
  const bool own = !suspect.bound.empty() && suspect.bound.shape() == suspect.expected.shape();
  const bool own_roundings =
      !suspect.roundings.empty() && suspect.roundings.shape() == suspect.expected.shape();
  const Tolerance tolerance = tolerance_for(right, question.tolerance);
  const DType dtype = question.actual.dtype;
  const bool half = dtype == DType::bf16 || dtype == DType::f16;
  // An exact op's mistake is computed in f64: storing it in a half type rounds it.
  const Tensor stored_only = exact && half ? Tensor(DType::f64, suspect.expected.shape()) : Tensor();
  const Answer there(suspect, own ? suspect.bound : (same_shape ? (exact ? stored_only : usual) : none),
                     own_roundings ? suspect.roundings : (same_shape ? usual_roundings : none), tolerance,
                     dtype);
  if (!same_shape) return measure_other_shape(question, suspect, there, fit);
  const Answer here(right, usual, usual_roundings, tolerance, dtype);
  Distance to_suspect, to_right;  // of all, and of the elements in question
  Distance asked_suspect, asked_right;
  std::int64_t explained = 0, wrong = 0;
  for (std::int64_t i = 0; i < question.actual.elements(); ++i) {
    const bool masked = forbidden(right.allowed, i);
    if ((masked && question.op == OpClass::scores) || forbidden(suspect.allowed, i)) continue;
    const double y = element_as_f64(question.actual, i);
    const double as_suspect = there.stored(i, here), as_right = here.stored(i, here);
    to_suspect.add(y, as_suspect);
    to_right.add(y, as_right);
    const double gate = masked ? question.forbidden_weight : here.gate(i);
    const bool subject_off = !here.within(i, y, gate);
    const bool suspect_off = !here.within(i, there.value(i), gate);
    wrong += subject_off ? 1 : 0;
    if (!subject_off && !suspect_off) continue;
    ++fit.in_question;
    asked_suspect.add(y, as_suspect);
    asked_right.add(y, as_right);
    explained += there.hold(i, y) ? 1 : 0;
  }
  // Where every element keeps its bound, and the whole tensor does not keep its own, all are in question.
  const bool by_whole = question.whole && wrong == 0 && fit.in_question == 0;
  if (by_whole) fit.in_question = explained = to_right.count;
  if (fit.in_question > 0)
    fit.explained = static_cast<double>(explained) / static_cast<double>(fit.in_question);
  const bool all = by_whole || fit.in_question == 0;
  fit.overall = to_suspect.rms();
  fit.to_suspect = (all ? to_suspect : asked_suspect).rms();
  fit.to_right = (all ? to_right : asked_right).rms();
  const bool nearer = fit.to_suspect <= kNearer * fit.to_right && fit.to_right > 0;
  fit.alike = nearer && fit.in_question > 0 && fit.explained >= kExplainedShare;
  // In a half type a right output may lie within both answers' gates, and nearer to the mistake's: a tie that
  // fell the other way.
  fit.fits = fit.alike && (wrong > 0 || by_whole);
}

double closeness(const SuspectFit& fit) {
  if (std::isnan(fit.to_suspect)) return kInfinity;
  return fit.to_right > 0 && std::isfinite(fit.to_right) ? fit.to_suspect / fit.to_right : fit.to_suspect;
}

// The list comes in the catalogue's order, the more usual first, which decides among those that are equally
// near.
void sort_best_first(std::vector<SuspectFit>& list) {
  const bool specific =
      std::any_of(list.begin(), list.end(), [](const SuspectFit& fit) { return fit.fits && !fit.fitted; });
  double best = kInfinity;
  for (const SuspectFit& fit : list) {
    if (fit.fits && !(specific && fit.fitted)) best = std::min(best, fit.overall);
  }
  const auto in_first_place = [=](const SuspectFit& fit) {
    return fit.fits && fit.overall <= kTie * best && !(specific && fit.fitted);
  };
  const auto rank = [&](const SuspectFit& fit) { return in_first_place(fit) ? 0 : (fit.fits ? 1 : 2); };
  std::stable_sort(list.begin(), list.end(), [&](const SuspectFit& a, const SuspectFit& b) {
    if (rank(a) != rank(b)) return rank(a) < rank(b);
    return rank(a) > 0 && closeness(a) < closeness(b);
  });
  for (std::size_t i = 1; i < list.size(); ++i) list[i].tied = in_first_place(list[i]) && !list[i].fitted;
}

// A list that cannot be made stands in it as one suspect that says why.
template <typename Make>
void add_list(const char* name, Make make, std::vector<Suspect>& suspects) {
  try {
    for (Suspect& one : make()) suspects.push_back(std::move(one));
  } catch (const Error&) {
    throw;  // of an input that cannot be
  } catch (const std::exception& trouble) {
    const std::string what = trouble.what();
    suspects.push_back({name, "", [what]() -> std::optional<Replay> { throw std::runtime_error(what); }});
  }
}

}  // namespace

SuspectFit not_computed(std::string name, std::string meaning, const std::exception& trouble) {
  SuspectFit fit{std::move(name), std::move(meaning)};
  const std::string what = trouble.what();
  fit.trouble = "could not be computed: " + what.substr(0, what.find('\n'));
  fit.to_suspect = fit.to_right = kInfinity;
  return fit;
}

std::vector<Suspect> Replayer::suspects(OpSite, const RecordedStep&, DType) const {
  return {};
}

std::vector<SuspectFit> rank_suspects(const TensorView& actual, const Replay& right,
                                      const std::vector<Suspect>& suspects, const Tolerance& tolerance,
                                      OpClass op, double forbidden_weight) {
  std::vector<SuspectFit> list;
  const bool whole = whole_in_question(actual, right, tolerance, op, forbidden_weight);
  for (const Suspect& suspect : suspects) {
    try {
      const std::optional<Replay> answer = suspect.replay();
      if (!answer || !(answer->expected.shape() == actual.shape)) continue;
      SuspectFit fit{suspect.name, suspect.meaning};
      fit.fitted = suspect.fitted;
      measure({actual, right, tolerance, op, forbidden_weight, whole}, *answer, fit);
      list.push_back(std::move(fit));
    } catch (const std::exception& trouble) {
      list.push_back(not_computed(suspect.name, suspect.meaning, trouble));
    }
  }
  for (std::size_t i = 0; i < list.size(); ++i) list[i].place = i;
  rank_fits(list);
  return list;
}

void rank_fits(std::vector<SuspectFit>& fits) {
  std::ranges::sort(fits, {}, &SuspectFit::place);
  sort_best_first(fits);
}

std::vector<SuspectFit> suspects_of(OpSite site, const RecordedStep& step, const Replayer& replayer,
                                    const Tolerances& tolerances, DType storage, DeviceKind device,
                                    double forbidden_weight, const std::set<std::string>& names) {
  const TensorView* actual = step.find(site);
  if (actual == nullptr || actual->elements() == 0) return {};
  try {
    std::string why;
    const std::optional<Replay> right = replayer.replay(site, step, storage, why);
    if (!right) return {};
    const OpClass op = replayer.judged_as(site, step);
    const Tolerance& tolerance = tolerance_of(site, op, step, storage, device, tolerances);
    std::vector<Suspect> suspects;
    add_list(
        "suspects of this op", [&] { return replayer.suspects(site, step, storage); }, suspects);
    add_list(
        "suspects of any op", [&] { return general_suspects(*actual, *right, tolerance, op); }, suspects);
    if (!names.empty()) {
      std::erase_if(suspects, [&](const Suspect& suspect) { return !names.contains(suspect.name); });
    }
    return rank_suspects(*actual, *right, suspects, tolerance, op, forbidden_weight);
  } catch (const Error&) {
    return {};  // an input that cannot be: the judge has said so
  }
}

std::vector<bool> beyond_gate(const TensorView& actual, const Replay& right, const Tolerance& tolerance,
                              OpClass op, double forbidden_weight) {
  if (!(actual.shape == right.expected.shape())) return {};
  static const Tensor none;
  const bool exact = tolerance.rule == Rule::exact;
  const Answer answer(right, exact ? none : right.bound, exact ? none : right.roundings,
                      tolerance_for(right, tolerance), actual.dtype);
  std::vector<bool> beyond;
  for (std::int64_t i = 0; i < actual.elements(); ++i) {
    const bool masked = forbidden(right.allowed, i);
    const double gate = masked ? forbidden_weight : answer.gate(i);
    const bool open = masked && op == OpClass::scores;
    beyond.push_back(!open && !answer.within(i, element_as_f64(actual, i), gate));
  }
  return beyond;
}

std::string verdict_of(const std::vector<SuspectFit>& ranked) {
  if (ranked.empty()) return {};
  if (!ranked.front().fits) return "none fits";
  if (ranked.front().fitted) return "none fits; its shape: " + ranked.front().name;
  std::string text = ranked.front().name;
  for (std::size_t i = 1; i < ranked.size() && ranked[i].tied; ++i) text += " or " + ranked[i].name;
  return text;
}

}  // namespace plumbline
