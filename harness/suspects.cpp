#include "harness/suspects.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "harness/error_pattern.h"

namespace plumbline {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kTie = 1.5;     // distances this near to each other tell nothing apart
constexpr double kNearer = 0.5;  // of the distance to the right answer, at most

// The gates around an answer, as compare_op has them.
class Gates {
 public:
  Gates(const Replay& answer, const Tensor& bound, const Tolerance& tolerance, DType dtype)
      : dtype_(dtype), values_(answer.expected), ceiling_(tolerance.ceiling) {
    if (!bound.empty()) bound_ = bound.values<double>();
    lambda_ = tolerance.rule == Rule::exact ? 1.0 : tolerance.lambda;
    exact_ = bound.empty();
    const Shape& shape = values_.shape();
    row_ = shape.rank() > 0 ? shape[shape.rank() - 1] : 1;
    if (!ceiling_ || row_ == 0) return;
    scales_.assign(static_cast<std::size_t>(shape.elements() / row_), 1.0);
    for (std::int64_t i = 0; i < shape.elements(); ++i) {
      const double magnitude = std::fabs(element_as_f64(values_.view(), i));
      double& scale = scales_[static_cast<std::size_t>(i / row_)];
      if (std::isfinite(magnitude)) scale = std::max(scale, magnitude);
    }
  }
  double value(std::int64_t i) const { return element_as_f64(values_.view(), i); }
  double gate(std::int64_t i) const {
    if (exact_) return 0;
    const bool half = dtype_ == DType::bf16 || dtype_ == DType::f16;
    const double rounding = half ? half_spacing(value(i), dtype_) : 0.0;
    const double gate = rounding + lambda_ * bound_[static_cast<std::size_t>(i)];
    if (!ceiling_) return gate;
    return std::min(gate, *ceiling_ * scales_[static_cast<std::size_t>(i / row_)]);
  }
  // Whether y is where this answer would have it.
  bool hold(std::int64_t i, double y) const { return within(i, y, gate(i)); }
  bool within(std::int64_t i, double y, double gate) const {
    const double expected = value(i);
    if (y == expected || (std::isnan(y) && std::isnan(expected))) return true;
    const double error = std::fabs(y - expected);
    return std::isfinite(error) && error <= gate;
  }

 private:
  DType dtype_;
  const Tensor& values_;
  std::optional<double> ceiling_;
  std::span<const double> bound_;
  double lambda_ = 1;
  bool exact_ = false;
  std::int64_t row_ = 1;
  std::vector<double> scales_;
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
};

// Of an output that has not even the right shape: every element is in question.
void measure_other_shape(const Question& question, const Replay& suspect, const Gates& gates,
                         SuspectFit& fit) {
  Distance to_suspect;
  std::int64_t explained = 0;
  for (std::int64_t i = 0; i < suspect.expected.elements(); ++i) {
    const double y = element_as_f64(question.actual, i);
    to_suspect.add(y, gates.value(i));
    explained += gates.hold(i, y) ? 1 : 0;
  }
  fit.in_question = suspect.expected.elements();
  fit.explained =
      static_cast<double>(explained) / static_cast<double>(std::max<std::int64_t>(fit.in_question, 1));
  fit.to_suspect = to_suspect.rms();
  fit.to_right = kInfinity;
  fit.fits = fit.in_question > 0 && fit.explained >= kExplainedShare;
}

void measure(const Question& question, const Replay& suspect, SuspectFit& fit) {
  const Replay& right = question.right;
  const bool same_shape = right.expected.shape() == question.actual.shape;
  const bool exact = question.tolerance.rule == Rule::exact;
  static const Tensor no_bound;
  const Tensor& usual = exact ? no_bound : right.bound;
  const bool own = !suspect.bound.empty() && suspect.bound.shape() == suspect.expected.shape();
  const DType dtype = question.actual.dtype;
  const Gates there(suspect, own ? suspect.bound : (same_shape ? usual : no_bound), question.tolerance,
                    dtype);
  if (!same_shape) return measure_other_shape(question, suspect, there, fit);
  const Gates here(right, usual, question.tolerance, dtype);
  Distance to_suspect, to_right;
  std::int64_t explained = 0, wrong = 0;
  for (std::int64_t i = 0; i < question.actual.elements(); ++i) {
    const bool masked = forbidden(right.allowed, i);
    if ((masked && question.op == OpClass::scores) || forbidden(suspect.allowed, i)) continue;
    const double y = element_as_f64(question.actual, i);
    to_suspect.add(y, there.value(i));
    to_right.add(y, here.value(i));
    const double gate = masked ? question.forbidden_weight : here.gate(i);
    const bool subject_off = !here.within(i, y, gate);
    const bool suspect_off = !here.within(i, there.value(i), gate);
    wrong += subject_off ? 1 : 0;
    if (!subject_off && !suspect_off) continue;
    ++fit.in_question;
    explained += there.hold(i, y) ? 1 : 0;
  }
  // Where every element keeps its bound and the error follows the output, all of them are in question.
  const bool by_slope = wrong == 0 && fit.in_question == 0 && question.tolerance.largest_slope.has_value();
  if (by_slope) fit.in_question = explained = to_right.count;
  if (fit.in_question > 0)
    fit.explained = static_cast<double>(explained) / static_cast<double>(fit.in_question);
  fit.to_suspect = to_suspect.rms();
  fit.to_right = to_right.rms();
  const bool nearer = fit.to_suspect <= kNearer * fit.to_right && fit.to_right > 0;
  fit.fits = nearer && fit.in_question > 0 && fit.explained >= kExplainedShare;
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
    if (fit.fits && !(specific && fit.fitted)) best = std::min(best, fit.to_suspect);
  }
  const auto in_first_place = [=](const SuspectFit& fit) {
    return fit.fits && fit.to_suspect <= kTie * best && !(specific && fit.fitted);
  };
  const auto rank = [&](const SuspectFit& fit) { return in_first_place(fit) ? 0 : (fit.fits ? 1 : 2); };
  std::stable_sort(list.begin(), list.end(), [&](const SuspectFit& a, const SuspectFit& b) {
    if (rank(a) != rank(b)) return rank(a) < rank(b);
    return rank(a) > 0 && closeness(a) < closeness(b);
  });
  for (std::size_t i = 1; i < list.size(); ++i) list[i].tied = in_first_place(list[i]) && !list[i].fitted;
}

}  // namespace

std::vector<Suspect> Replayer::suspects(OpSite, const RecordedStep&, DType) const {
  return {};
}

std::vector<SuspectFit> rank_suspects(const TensorView& actual, const Replay& right,
                                      const std::vector<Suspect>& suspects, const Tolerance& tolerance,
                                      OpClass op, double forbidden_weight) {
  std::vector<SuspectFit> list;
  for (const Suspect& suspect : suspects) {
    const std::optional<Replay> answer = suspect.replay();
    if (!answer || !(answer->expected.shape() == actual.shape)) continue;
    SuspectFit fit{suspect.name, suspect.meaning};
    fit.fitted = suspect.fitted;
    measure({actual, right, tolerance, op, forbidden_weight}, *answer, fit);
    list.push_back(std::move(fit));
  }
  sort_best_first(list);
  return list;
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
    const Tolerance& tolerance = tolerances.op(op, storage, device);
    std::vector<Suspect> suspects = replayer.suspects(site, step, storage);
    for (Suspect& general : general_suspects(*actual, *right, tolerance, op)) {
      suspects.push_back(std::move(general));
    }
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
  static const Tensor no_bound;
  const Gates gates(right, tolerance.rule == Rule::exact ? no_bound : right.bound, tolerance, actual.dtype);
  std::vector<bool> beyond;
  for (std::int64_t i = 0; i < actual.elements(); ++i) {
    const bool masked = forbidden(right.allowed, i);
    const double gate = masked ? forbidden_weight : gates.gate(i);
    const bool open = masked && op == OpClass::scores;
    beyond.push_back(!open && !gates.within(i, element_as_f64(actual, i), gate));
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
