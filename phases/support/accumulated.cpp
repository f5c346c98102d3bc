#include "phases/support/accumulated.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "harness/checks.h"
#include "harness/metrics.h"
#include "harness/token_verdict.h"
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
    if (goldens_judge_subject()) {
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
  if (!goldens_judge_subject()) own = record_prefill(reference(), run.prompt.ids, ProbeFilter({"lm_head"}));
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
       fmt::format("{:.2e}: the reference's own in {}, {:.2f} times", own_rms, dtype_name(options().dtype),
                   subject_rms / own_rms));
  if (near > 0) show("next token", run.prompt.name, "other argmax, a near tie", near, "0 is usual");
}

void AccumulatedErrors::add_token_verdicts(const JudgedPrompt& run) {
  const Tensor &actual = logits_of(run.subject), &expected = logits_of(run.truth);
  std::optional<Trace> own;
  if (!goldens_judge_subject()) own = record_prefill(reference(), run.prompt.ids, ProbeFilter({"lm_head"}));
  const double contract = tolerances().gate("final_logits_max_abs");
  std::vector<TokenRow> rows;
  for (std::int64_t row = 0; row < actual.shape()[0]; ++row) {
    const TensorView right = row_of(expected, row);
    const ErrorStats stats = measure_error(own ? row_of(logits_of(*own), row) : right, right);
    const double ceiling =
        std::max(contract * std::max(1.0, stats.max_abs_expected), kOwnErrors * stats.max_abs);
    rows.push_back(judge_token(row_of(actual, row), right, ceiling));
  }
  const TokenSummary sum = summarize(rows);
  tokens_ += sum.rows;
  tie_flips_ += sum.tie_flip;
  Check wrong =
      check_at_most("next tokens: wrong", run.prompt.name, "tokens", static_cast<double>(sum.wrong), 0);
  if (sum.first_wrong >= 0) {
    const TokenRow& first = rows[static_cast<std::size_t>(sum.first_wrong)];
    wrong.note = fmt::format("first at position {}: token {} where {} is right, by {:.2e}", sum.first_wrong,
                             first.actual, first.expected, first.gap);
  }
  record(std::move(wrong));
  if (goldens_judge_subject()) {
    record(check_at_most("next tokens: drift", run.prompt.name, "tokens", static_cast<double>(sum.drift), 0));
  }
  const auto margin = [](double ulp) { return fmt::format("{:.3g}", ulp); };
  token_table_.rows.push_back({run.prompt.name, std::to_string(sum.rows), std::to_string(sum.match),
                               std::to_string(sum.drift), std::to_string(sum.tie_flip),
                               std::to_string(sum.wrong), fmt::format("{:.1e}", sum.mean_kl),
                               fmt::format("{:.1e}", sum.largest_kl), fmt::format("{:.2f} %", 100 * sum.top5),
                               fmt::format("{:.2f} %", 100 * sum.top50), margin(sum.least_margin_ulp),
                               sum.tie_flip == 0 ? "–" : margin(sum.largest_flip_ulp)});
}

void AccumulatedErrors::finish() {
  if (tokens_ > 0) {
    Check flips = check_at_most("next tokens: tie-flips", "all prompts", "share of tokens",
                                static_cast<double>(tie_flips_) / static_cast<double>(tokens_),
                                tolerances().gate("tie_flip_share"));
    flips.note = fmt::format("{} of {}", tie_flips_, tokens_);
    // Each flip lies within what both runs may be off by; how many margins are as small as a half type's
    // rounding is the model's affair.
    if (options().dtype == DType::f32 || tie_flips_ == 0) {
      record(std::move(flips));
    } else {
      record_skip("next tokens: tie-flips",
                  fmt::format("{}: shown and not judged in {}", flips.note, dtype_name(options().dtype)));
    }
    add_evidence(std::move(token_table_));
  }
  if (shown_.rows.empty()) return;
  add_assumption(why_goldens_do_not_judge() + ": accumulated error is shown, not judged; each op is judged");
  add_evidence(std::move(shown_));
}

}  // namespace plumbline::phases
