// SUMMARY.md, and the same as a table for a terminal.
#include <algorithm>

#include <fmt/format.h>

#include "harness/report.h"
#include "harness/report_baseline.h"
#include "harness/report_markdown.h"
#include "harness/report_text.h"

namespace plumbline {
namespace {

using Row = std::vector<std::string>;

// Of all phases; the first value of a name stands, and beside it what is another one in a model's folder.
Environment common_environment(const RunReport& run) {
  Environment common;
  const auto find = [&](const std::string& name) {
    return std::ranges::find(common.entries, name, &std::pair<std::string, std::string>::first);
  };
  for (const PhaseReport& phase : run.phases) {
    for (const auto& [name, value] : phase.environment.entries) {
      const auto known = find(name);
      const std::string own = name + ", " + phase.folder;
      if (known == common.entries.end()) {
        common.entries.emplace_back(name, value);
      } else if (!phase.folder.empty() && known->second != value && find(own) == common.entries.end()) {
        common.entries.emplace(known + 1, own, value);
      }
    }
  }
  return common;
}

Row summary_row(const PhaseReport& phase) {
  const VerdictCounts counts = phase.counts();
  const std::string verdict(verdict_name(counts.overall()));
  return {phase_label(phase), verdict, std::to_string(phase.cases.size()), counts.to_string(),
          worst_share(phase.judged_cases())};
}

// What was taken for granted, and what was not judged and why: the assumptions of all phases, and their skips
// by case and reason.
std::string limits_section(const RunReport& run) {
  std::vector<std::string> assumed;
  std::vector<std::pair<Row, int>> skips;  // case and reason, how many
  for (const PhaseReport& phase : run.phases) {
    for (const std::string& text : phase.assumptions) {
      if (std::ranges::find(assumed, text) == assumed.end()) assumed.push_back(text);
    }
    for (const CaseReport& entry : phase.judged_cases()) {
      for (const Check& check : entry.checks) {
        if (check.verdict != Verdict::skipped) continue;
        const std::string model = phase.folder.empty() ? std::string() : ", " + phase.folder;
        const Row key{entry.id + " " + entry.title + model, check.note};
        auto found = std::ranges::find(skips, key, &std::pair<Row, int>::first);
        if (found == skips.end()) found = skips.insert(found, {key, 0});
        found->second += check.count;
      }
    }
  }
  if (assumed.empty() && skips.empty()) return {};
  std::string text = "## Taken for granted, and not judged\n\n";
  for (const std::string& line : assumed) text += fmt::format("- {}\n", markdown_sentence(line));
  if (!assumed.empty()) text += "\n";
  std::vector<Row> rows;
  for (const auto& [key, count] : skips) rows.push_back({key[0], std::to_string(count), key[1]});
  return rows.empty() ? text : text + markdown_table({"case", "not judged", "why"}, rows) + "\n";
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
    text += fmt::format("**{}**: {}\n\n    {}\n\n", phase_label(phase), markdown_sentence(opening),
                        one_line(phase.repeat_case_command()));
  }
  std::string table =
      "| phase | model | verdict | cases | checks | worst share of a gate | page |\n"
      "| --- | --- | --- | --- | --- | --- | --- |\n";
  for (const PhaseReport& phase : run.phases) {
    const std::string page = phase_page_name(phase);
    Row row = summary_row(phase);
    row[0] = phase.title;
    row.insert(row.begin() + 1, markdown_cell(phase.model));
    table += fmt::format("| {} | [{}]({}) |\n", fmt::join(row, " | "), page, page);
  }
  if (!run.phases.empty()) text += table + "\n";
  text +=
      "All that was checked is in [report.json](report.json); there, passed ops of one step may share a row, "
      "which shows the worst and their count.\n\n";
  if (run.changes) text += baseline_page(*run.changes);
  text += limits_section(run);
  text += "## Environment and times\n\n";
  text += environment_table(common_environment(run));
  std::vector<Row> times;
  for (const PhaseReport& phase : run.phases) {
    times.push_back({phase_label(phase), seconds_text(phase.seconds), bytes_text(phase.peak_bytes)});
  }
  return times.empty() ? text : text + markdown_table({"phase", "time", "peak memory"}, times);
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
    text += fmt::format("\n{}: {}\n  repeat with: {}\n", phase_label(phase), one_line(opening),
                        one_line(phase.repeat_case_command()));
  }
  if (run.changes) text += fmt::format("\n{}", baseline_terminal(*run.changes));
  return text;
}

}  // namespace plumbline
