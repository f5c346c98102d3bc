// SUMMARY.md, and the same as a table for a terminal.
#include <algorithm>

#include <fmt/format.h>

#include "harness/report.h"
#include "harness/report_markdown.h"
#include "harness/report_text.h"

namespace plumbline {
namespace {

using Row = std::vector<std::string>;

// Of all phases; the first value of a name stands.
Environment common_environment(const RunReport& run) {
  Environment common;
  for (const PhaseReport& phase : run.phases) {
    for (const auto& entry : phase.environment.entries) {
      const bool known =
          std::ranges::any_of(common.entries, [&](const auto& other) { return other.first == entry.first; });
      if (!known) common.entries.push_back(entry);
    }
  }
  return common;
}

Row summary_row(const PhaseReport& phase) {
  const VerdictCounts counts = phase.counts();
  const std::string verdict(verdict_name(counts.overall()));
  return {phase.title, verdict, std::to_string(phase.cases.size()), counts.to_string(),
          worst_share(phase.judged_cases())};
}

}  // namespace

std::string summary_page(const RunReport& run) {
  const VerdictCounts counts = run.counts();
  std::string text = fmt::format("# plumbline: {}\n\n", verdict_name(counts.overall()));
  if (!run.skipped_reason.empty()) text += "Skipped: " + markdown_sentence(run.skipped_reason) + "\n\n";
  text += counts.to_string() + ".\n\n";
  for (const PhaseReport& phase : run.phases) {
    const std::string opening = phase.opening_sentence();
    if (opening.empty()) continue;
    text += fmt::format("**{}**: {}\n\n    {}\n\n", phase.title, markdown_sentence(opening),
                        one_line(phase.repeat_case_command()));
  }
  std::string table =
      "| phase | verdict | cases | checks | worst share of a gate | page |\n| --- | --- | --- | --- | --- | "
      "--- |\n";
  for (const PhaseReport& phase : run.phases) {
    const std::string page = phase_page_name(phase);
    table += fmt::format("| {} | [{}]({}) |\n", fmt::join(summary_row(phase), " | "), page, page);
  }
  if (!run.phases.empty()) text += table + "\n";
  text += "Every check is in [report.json](report.json).\n\n## Environment and times\n\n";
  text += environment_table(common_environment(run));
  std::vector<Row> times;
  for (const PhaseReport& phase : run.phases) times.push_back({phase.title, seconds_text(phase.seconds)});
  return times.empty() ? text : text + markdown_table({"phase", "time"}, times);
}

std::string summary_table(const RunReport& run) {
  std::string text = fmt::format("{:<32}  {:<10}  {:>5}  {:>11}  {}\n", "phase", "verdict", "cases",
                                 "worst share", "checks");
  for (const PhaseReport& phase : run.phases) {
    const Row row = summary_row(phase);
    text += fmt::format("{:<32}  {:<10}  {:>5}  {:>11}  {}\n", row[0], row[1], row[2],
                        row[4] == kNoFigure ? "-" : row[4], row[3]);
  }
  const VerdictCounts counts = run.counts();
  text += fmt::format("{:<32}  {:<10}  {:>5}  {:>11}  {}\n", "overall", verdict_name(counts.overall()), "",
                      "", counts.to_string());
  if (!run.skipped_reason.empty()) text += "skipped: " + one_line(run.skipped_reason) + "\n";
  for (const PhaseReport& phase : run.phases) {
    const std::string opening = phase.opening_sentence();
    if (opening.empty()) continue;
    text += fmt::format("\n{}: {}\n  repeat with: {}\n", phase.title, one_line(opening),
                        one_line(phase.repeat_case_command()));
  }
  return text;
}

}  // namespace plumbline
