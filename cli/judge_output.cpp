#include "cli/judge_output.h"

#include <filesystem>
#include <iostream>

#include <fmt/format.h>

#include "harness/evidence.h"
#include "harness/explain.h"
#include "harness/judge_part.h"

namespace plumbline::cli {
std::string judgement_page(const Judged& judged) {
  const Judgement& judgement = judged.judgement;
  CaseReport all;
  all.id = "judge";
  all.title = "every op of the trace";
  all.checks = to_checks(judgement, "");
  if (Evidence suspects = suspects_of_wrong_ops(judgement); !suspects.rows.empty()) {
    all.evidence.push_back(std::move(suspects));
  }
  all.evidence.push_back(share_by_op(judgement));
  all.evidence.push_back(share_by_component(judgement));
  all.evidence.push_back(error_by_layer(judgement));
  for (const Evidence& seen : judged.closely) all.evidence.push_back(seen);
  PhaseReport report;
  report.name = "judge";
  report.title = "Judgement of " + std::filesystem::path(judged.trace).filename().string();
  report.model = judged.model;
  report.engine = judged.engine.empty() ? "unknown" : judged.engine;
  report.repeat_command = fmt::format("plumbline judge {} --model {}", judged.trace, judged.model);
  report.headline = headline(judgement);
  report.assumptions = judged.assumptions;
  report.cases = {std::move(all)};
  report.finished = true;
  return phase_page(report);
}

int tell(const Judged& judged) {
  const VerdictCounts counts = judged.judgement.counts();
  if (const std::string sentence = headline(judged.judgement); !sentence.empty()) {
    std::cout << sentence << '\n';
  }
  if (!judged.never_judged.empty()) {
    std::cout << fmt::format("no part has judged layers {}\n", ranges_text(judged.never_judged));
  }
  for (const OpResult* op : judged.judgement.wrong()) {
    // Said above, all at once.
    if (!judged.never_judged.empty() && op->verdict == Verdict::untested) continue;
    std::cout << fmt::format("  {:<44} {} (share of gate {:.3g}) {}\n", site_name(op->site),
                             verdict_name(op->verdict), op->share, op->reason);
    if (const std::string suspect = verdict_of(op->suspects); !suspect.empty()) {
      std::cout << "    suspect: " << suspect << '\n';
    }
  }
  std::cout << counts.to_string() << '\n';
  for (const std::string& line : judged.assumptions) std::cerr << "plumbline: " << line << '\n';
  return exit_status(counts);
}

}  // namespace plumbline::cli
