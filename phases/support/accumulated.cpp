#include "phases/support/accumulated.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "harness/checks.h"
#include "harness/metrics.h"
#include "phases/support/suite.h"

namespace plumbline::phases {
namespace {

constexpr OpSite kLogits{Probe::lm_head, -1};
constexpr double kOwnErrors = 4;  // a sequential sum's error in units of a blocked one's

const Tensor& logits_of(const Trace& trace) {
  return trace.steps.at(0).tensors.at(kLogits);
}

TensorView row_of(const Tensor& logits, std::int64_t row) {
  const TensorView line = logits.view().rows(row, row + 1);
  return {line.data, line.dtype, Shape{line.shape[1]}};
}

}  // namespace

void AccumulatedErrors::show(const std::string& what, const std::string& prompt, const std::string& metric,
                             double measured, const std::string& beside) {
  shown_.rows.push_back({what, prompt, metric, fmt::format("{:.2e}", measured), beside});
}

void AccumulatedErrors::add(const std::string& what, std::vector<Check> checks) {
  for (Check& check : checks) {
    check.what = what;
    if (goldens()) {
      record(std::move(check));
    } else {
      show(what, check.subject, check.metric, check.measured,
           fmt::format("{:.0e} where it is judged", check.gate));
    }
  }
}

void AccumulatedErrors::add_logits(const JudgedPrompt& run) {
  add("final logits",
      check_logits(run.prompt.name, logits_of(run.subject).view(), logits_of(run.truth).view(),
                   tolerances().gate("final_logits_max_abs"), tolerances().gate("final_logits_mean_abs")));
}

void AccumulatedErrors::add_next_tokens(const JudgedPrompt& run) {
  const Tensor &actual = logits_of(run.subject), &expected = logits_of(run.truth);
  std::optional<Trace> own;
  if (!goldens()) own = record_prefill(reference(), run.prompt.ids, ProbeFilter({"lm_head"}));
  const double ceiling = tolerances().gate("final_logits_max_abs");
  int other = 0, near = 0;
  double kl = 0;
  for (std::int64_t row = 0; row < actual.shape()[0]; ++row) {
    const TensorView right = row_of(expected, row);
    const LogitComparison comparison = compare_logits(row_of(actual, row), right);
    kl = std::max(kl, comparison.kl);
    if (comparison.actual_argmax == comparison.expected_argmax) continue;
    double uncertain = 0;
    if (own) {
      const ErrorStats stats = measure_error(row_of(logits_of(*own), row), right);
      uncertain = 2 * std::max(ceiling * std::max(1.0, stats.max_abs_expected), kOwnErrors * stats.max_abs);
    }
    const double margin =
        element_as_f64(right, comparison.expected_argmax) - element_as_f64(right, comparison.actual_argmax);
    const bool within = margin <= uncertain;
    (within ? near : other) += 1;
  }
  Check check = check_at_most("next token at every position", run.prompt.name, "other argmax", other, 0);
  check.note = fmt::format("largest KL {:.1e}", kl);
  record(std::move(check));
  if (!own) return;
  const double subject_rms = measure_error(actual.view(), expected.view()).rms;
  const double own_rms = measure_error(logits_of(*own).view(), expected.view()).rms;
  show("final logits", run.prompt.name, "rms", subject_rms,
       fmt::format("{:.2e}: the reference's own in f32, {:.2f} times", own_rms, subject_rms / own_rms));
  if (near > 0) show("next token", run.prompt.name, "other argmax, a near tie", near, "0 is usual");
}

void AccumulatedErrors::finish() {
  if (shown_.rows.empty()) return;
  add_assumption("no goldens for these weights: accumulated error is shown, not judged; each op is judged");
  add_evidence(std::move(shown_));
}

}  // namespace plumbline::phases
