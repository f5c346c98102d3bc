#include "phases/support/golden_checks.h"

#include <cmath>

#include <fmt/format.h>

#include "harness/checks.h"
#include "harness/golden_checks.h"
#include "harness/metrics.h"
#include "phases/support/suite.h"

namespace plumbline::phases {
namespace {

// Which places of the last position a golden keeps, and what the report calls them.
const std::pair<std::string, std::string> kSamples[] = {{"columns", "fixed columns"},
                                                        {"best", "best places"}};

std::span<const std::int64_t> places(const GoldenTensors& golden, const std::string& name) {
  return golden.at(name).values<std::int64_t>();
}

void note_samples(const GoldenTensors& golden) {
  add_assumption(fmt::format(
      "the goldens of these weights are samples: of the logits, the last position's best {} and {} "
      "fixed columns, and a norm for each position; of each layer, the last position and norms",
      places(golden, "logits.best").size(), places(golden, "logits.columns").size()));
}

// An f32 run: the last position at the fixed columns and at the best places, and all positions' norms, in
// units of Hugging Face's own error.
void record_sampled_f32(const std::string& what, const Prompt& prompt, const GoldenTensors& golden,
                        const TensorView& logits) {
  const double own_rms = prompt.golden->own_rms("logits"), factor = tolerances().gate("golden_sample_rms");
  for (const auto& [kind, title] : kSamples) {
    const Tensor actual = elements_at(logits.last_rows(1), places(golden, "logits." + kind));
    record(check_rms(fmt::format("{}, {}", what, title), prompt.name, actual.view(),
                     golden.at("logits.at_" + kind + ".f64").view(), own_rms, factor));
  }
  record(check_norms(what + ", norms", prompt.name, logits, golden.at("logits.norms.f64").view(), own_rms,
                     factor));
}

// An f64 run: the same to within `gate` at each place.
void record_sampled_f64(const std::string& what, const Prompt& prompt, const GoldenTensors& golden,
                        const TensorView& logits, double gate) {
  for (const auto& [kind, title] : kSamples) {
    const Tensor actual = elements_at(logits.last_rows(1), places(golden, "logits." + kind));
    record(check_close(fmt::format("{}, {}", what, title), prompt.name, actual.view(),
                       golden.at("logits.at_" + kind + ".f64").view(), gate));
  }
  record(check_norms(what + ", norms", prompt.name, logits, golden.at("logits.norms.f64").view(), gate, 1));
}

// Which tokens are the best 50: another one may only be among them when the two are as near as the final
// logits may be off.
void record_best_tokens(const Prompt& prompt, const GoldenTensors& golden, const TensorView& logits) {
  const auto best = places(golden, "logits.best");
  const Tensor& values = golden.at("logits.at_best.f64");
  const double scale = std::max(1.0, std::fabs(element_as_f64(values.view(), 0)));
  record(check_none_better("tokens beside the golden best", prompt.name, logits.last_rows(1), best,
                           values.view(), 2 * tolerances().gate("final_logits_max_abs") * scale));
}

}  // namespace

void record_golden_logits(const Prompt& prompt, const TensorView& logits) {
  if (prompt.golden == nullptr) return;
  if (!goldens_judge_subject())
    return record_skip("final logits of " + prompt.name + " against the golden ones",
                       why_goldens_do_not_judge());
  const GoldenTensors golden(prompt.golden->tensors);
  if (prompt.golden->sampled()) {
    note_samples(golden);
    record_sampled_f32("final logits against the golden sample", prompt, golden, logits);
    record_best_tokens(prompt, golden, logits);
    return;
  }
  for (Check check :
       check_logits(prompt.name, logits, golden.at("logits.f64").view(),
                    tolerances().gate("final_logits_max_abs"), tolerances().gate("final_logits_mean_abs"))) {
    check.what = "final logits against the golden ones";
    record(std::move(check));
  }
}

void record_reference_logits(const Prompt& prompt, const TensorView& f32, const TensorView& f64) {
  if (prompt.golden == nullptr) return;
  const GoldenTensors golden(prompt.golden->tensors);
  if (prompt.golden->sampled()) {
    record_sampled_f32("reference f32 logits, golden sample", prompt, golden, f32);
  } else {
    const double gate = tolerances().gate("golden_logits_f32");
    for (Check check : check_logits(prompt.name, f32, golden.at("logits.f32").view(), gate, gate)) {
      check.what = "reference f32 logits, golden f32";
      record(std::move(check));
    }
  }
  record_exact_reference_logits(prompt, f64);
}

void record_exact_reference_logits(const Prompt& prompt, const TensorView& f64) {
  if (prompt.golden == nullptr) return;
  const GoldenTensors golden(prompt.golden->tensors);
  const double gate = tolerances().gate("golden_logits_f64");
  if (prompt.golden->sampled()) {
    record_sampled_f64("reference f64 logits, golden sample", prompt, golden, f64, gate);
  } else {
    record(check_close("reference f64 logits, golden f64", prompt.name, f64, golden.at("logits.f64").view(),
                       gate));
  }
}

void record_golden_hidden(const Prompt& prompt, const std::string& what, int layer,
                          const TensorView& hidden) {
  if (prompt.golden == nullptr || !goldens_judge_subject()) return;
  const GoldenTensors golden(prompt.golden->tensors);
  const std::string name = fmt::format("hidden.layer.{}", layer);
  if (prompt.golden->sampled()) {
    const double own_rms = prompt.golden->own_rms(name);
    const double factor = tolerances().gate("golden_sample_rms");
    record(check_rms(what + " against the golden last position", prompt.name, hidden.last_rows(1),
                     golden.at(name + ".last.f64").view(), own_rms, factor));
    record(check_norms(what + " against the golden norms", prompt.name, hidden,
                       golden.at(name + ".norms.f64").view(), own_rms, factor));
    return;
  }
  // The contract for logits, held at each layer: rows scaled by their largest value.
  for (Check check :
       check_logits(prompt.name, hidden, golden.at(name + ".f64").view(),
                    tolerances().gate("final_logits_max_abs"), tolerances().gate("final_logits_mean_abs"))) {
    check.what = what + " against the golden";
    record(std::move(check));
  }
}

}  // namespace plumbline::phases
