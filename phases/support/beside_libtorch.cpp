#include "phases/support/beside_libtorch.h"

#include <fmt/format.h>

#include "harness/checks.h"
#include "harness/metrics.h"
#include "phases/support/batch.h"
#include "phases/support/side_by_side.h"
#include "phases/support/suite.h"
#include "reference/engine.h"

namespace plumbline::phases {
namespace {

constexpr const char* kName = "LibTorch on the GPU";
constexpr OpSite kLogits{Probe::lm_head, -1};

Judgement of_prompts(const std::vector<Prompt>& prompts) {
  Judgement all;
  for (const Prompt& prompt : prompts) {
    const std::vector<OpResult>& ops = judged(prompt).judgement.ops;
    all.ops.insert(all.ops.end(), ops.begin(), ops.end());
  }
  return all;
}

// Final logits of one prompt: each side's distance from truth, and from one another.
std::vector<std::string> distances(const std::string& prompt, const TensorView& ours, const TensorView& other,
                                   const TensorView& truth) {
  std::vector<std::string> row{prompt};
  for (const ErrorStats& stats :
       {measure_error(ours, truth), measure_error(other, truth), measure_error(ours, other)}) {
    row.push_back(fmt::format("{:.2e}", stats.max_abs));
    row.push_back(fmt::format("{:.2e}", stats.rms));
  }
  return row;
}

// Either may be off from truth by what the contract for final logits lets it.
void record_distance(const std::string& prompt, const TensorView& ours, const TensorView& other) {
  std::vector<Check> checks = check_logits(prompt, ours, other, 2 * tolerances().gate("final_logits_max_abs"),
                                           2 * tolerances().gate("final_logits_mean_abs"));
  for (Check& check : checks) check.what = fmt::format("final logits against {}", kName);
  record_all(std::move(checks));
}

// One row for each prompt; `trace`: all prompts, one after the other.
Evidence compared_logits(const Trace& trace, const std::vector<Prompt>& prompts) {
  Evidence table{"final logits: the subject beside " + std::string(kName),
                 {"prompt", "subject − truth, max", "rms", "LibTorch − truth, max", "rms",
                  "subject − LibTorch, max", "rms"},
                 {}};
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const JudgedPrompt& run = judged(prompts[i]);
    const TensorView ours = run.subject.steps.at(0).tensors.at(kLogits).view();
    const TensorView truth = run.truth.steps.at(0).tensors.at(kLogits).view();
    const TensorView other = trace.steps.at(i).tensors.at(kLogits).view();
    table.rows.push_back(distances(prompts[i].name, ours, other, truth));
    if (goldens_judge_subject()) record_distance(prompts[i].name, ours, other);
  }
  return table;
}

}  // namespace

void record_beside_libtorch(const std::vector<Prompt>& prompts) {
  if (options().engine != "cuda") return;
  const std::string what = std::string(kName) + " beside the subject";
  if (const std::string why = reference::why_no_cuda(); !why.empty()) return record_skip(what, why);
  judge_together(prompts);
  Trace trace;
  try {
    const Device gpu{DeviceKind::cuda, 0};
    const auto libtorch = reference::make_engine(options().model, {.dtype = options().dtype, .device = gpu});
    trace = record_batch(*libtorch, prompts);
  } catch (const Error& problem) {  // no memory is left beside the subject's
    return record_skip(what, problem.what());
  }
  add_evidence(shares_side_by_side(of_prompts(prompts), judge(trace, replayer(), tolerances()), kName));
  add_evidence(compared_logits(trace, prompts));
}

}  // namespace plumbline::phases
