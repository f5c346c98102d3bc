// The pages a person reads: the verdict first, then what to do about it, then the figures, then what they
// were measured on. Everything that two equal runs do not share stands in the last section.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include <fmt/format.h>

#include "harness/report.h"
#include "harness/report_markdown.h"
#include "harness/report_text.h"

namespace plumbline {
namespace {

// A case with at most so many checks is shown whole; of a larger one, the passed checks show as one row per
// op and metric, the worst.
constexpr int kShowWholeUpTo = 24;

using Row = std::vector<std::string>;

// Larger is worse; NaN is worst.
double badness(double share) {
  return std::isnan(share) ? std::numeric_limits<double>::infinity() : share;
}

bool was_measured(const Check& check) {
  return check.verdict != Verdict::skipped && check.verdict != Verdict::untested;
}

// The op class and metric; for other checks, the first word of what ("field", "tensor") and the metric.
std::string group_of(const Check& check) {
  const std::string name = check.op.empty() ? check.what.substr(0, check.what.find(' ')) : check.op;
  return name + "\n" + check.metric;
}

struct Group {
  const Check* worst = nullptr;
  int size = 0;
};

// The worst of those that prove something, if any does.
bool is_worse(const Check& a, const Check& b) {
  if (a.trivial != b.trivial) return b.trivial;
  return badness(a.share) > badness(b.share);
}

std::vector<Group> passed_groups(const CaseReport& entry) {
  std::vector<Group> groups;
  std::map<std::string, std::size_t> index;
  for (const Check& check : entry.checks) {
    if (check.verdict != Verdict::passed) continue;
    const auto [at, fresh] = index.try_emplace(group_of(check), groups.size());
    if (fresh) groups.push_back({&check, 0});
    Group& group = groups[at->second];
    group.size += check.count;
    if (is_worse(check, *group.worst)) group.worst = &check;
  }
  return groups;
}

Row check_row(const Check& check, int stands_for) {
  const auto shown = [&](double value) {
    return was_measured(check) ? figure(value) : std::string(kNoFigure);
  };
  std::string verdict(verdict_name(check.verdict));
  if (check.trivial) verdict += ", trivial";
  if (stands_for > 1) verdict += fmt::format(" (worst of {} checks)", stands_for);
  return {check.what,
          check.subject,
          check.metric,
          shown(check.measured),
          shown(check.gate),
          shown(check.share),
          shown(check.smallest_gate),
          verdict,
          check.note};
}

std::string check_table(const CaseReport& entry) {
  if (entry.checks.empty()) return {};
  std::vector<Row> rows;
  const bool whole = entry.checked() <= kShowWholeUpTo;
  for (const Check& check : entry.checks) {
    if (whole || check.verdict != Verdict::passed) rows.push_back(check_row(check, check.count));
  }
  if (!whole) {
    for (const Group& group : passed_groups(entry)) rows.push_back(check_row(*group.worst, group.size));
  }
  return markdown_table({"what", "subject", "metric", "measured", "gate", "share of gate",
                         "smallest gate that passes", "verdict", "note"},
                        rows) +
         "\n";
}

// Beside the page, so that its name alone leads there. The table below has the same figures.
std::string picture_link(const Picture& picture, const std::string& file) {
  return fmt::format("![{}]({})\n\n", markdown_cell(picture.title), file.substr(file.rfind('/') + 1));
}

std::string evidence_section(const Evidence& evidence, const std::string& drawn) {
  std::string text = "**" + markdown_cell(evidence.title) + "**\n\n";
  if (!drawn.empty()) text += picture_link(*evidence.picture, drawn);
  if (!evidence.header.empty()) return text + markdown_table(evidence.header, evidence.rows) + "\n";
  for (const Row& row : evidence.rows)
    text += "    " + one_line(fmt::format("{}", fmt::join(row, "  "))) + "\n";
  return text + "\n";
}

// The file of this evidence's picture; empty where there is none, or it was not drawn.
std::string drawn_file(const PhaseReport& phase, const CaseReport& entry, std::size_t evidence,
                       const Drawings& drawings) {
  if (!entry.evidence[evidence].picture) return {};
  const std::string name = picture_file_name(phase, entry, evidence);
  return drawings.files.contains(name) ? name : std::string();
}

std::string case_section(const PhaseReport& phase, const CaseReport& entry, const Drawings& drawings) {
  const VerdictCounts counts = entry.counts();
  std::string text = fmt::format("## {} {}: {}\n\n", entry.id, entry.title, verdict_name(counts.overall()));
  if (!entry.message.empty()) {
    text += fmt::format("{}: {}\n\n", entry.crashed ? "Crashed" : "Failed", markdown_cell(entry.message));
  }
  if (entry.checks.empty()) text += "No check was made.\n\n";
  if (entry.checked() > kShowWholeUpTo) {
    text += fmt::format("{} checks: {}.\n\n", entry.checked(), counts.to_string());
  }
  text += check_table(entry);
  for (std::size_t i = 0; i < entry.evidence.size(); ++i) {
    text += evidence_section(entry.evidence[i], drawn_file(phase, entry, i, drawings));
  }
  return text;
}

std::string case_table(const std::vector<CaseReport>& cases) {
  std::vector<Row> rows;
  for (const CaseReport& entry : cases) {
    const VerdictCounts counts = entry.counts();
    rows.push_back({entry.id + " " + entry.title, std::string(verdict_name(counts.overall())),
                    counts.to_string(), worst_share({entry})});
  }
  return markdown_table({"case", "verdict", "checks", "worst share of a gate"}, rows) + "\n";
}

std::string what_is_wrong(const PhaseReport& phase) {
  std::string text;
  const std::string opening = phase.opening_sentence();
  if (opening.empty()) return text;
  text += markdown_sentence(opening) + "\n\n";
  const std::string command = phase.repeat_case_command();
  if (!command.empty()) text += "Repeat that case with\n\n    " + one_line(command) + "\n\n";
  if (!phase.error.empty()) text += "The suite did not finish: " + markdown_sentence(phase.error) + "\n\n";
  if (phase.error.empty() && !phase.finished) text += "error: the suite did not finish\n\n";
  const std::vector<std::string> ops = phase.mistrusted_ops();
  if (!ops.empty()) {
    text += fmt::format("Mistrusted, for all their checks here are trivial: {}.\n\n", fmt::join(ops, ", "));
  }
  return text;
}

std::string conditions(const PhaseReport& phase) {
  std::string text;
  if (!phase.model.empty())
    text += fmt::format("Model `{}`, engine {}.\n", one_line(phase.model), phase.engine);
  if (phase.partial) text += "Only some of this phase's cases were asked for.\n";
  for (const std::string& assumption : phase.assumptions)
    text += "Assumed: " + markdown_sentence(assumption) + ".\n";
  return text.empty() ? text : text + "\n";
}

bool has_pictures(const PhaseReport& phase) {
  return std::ranges::any_of(phase.cases, [](const CaseReport& entry) {
    return std::ranges::any_of(entry.evidence,
                               [](const Evidence& shown) { return shown.picture.has_value(); });
  });
}

std::string phase_times(const PhaseReport& phase) {
  std::vector<Row> rows;
  for (const CaseReport& entry : phase.cases)
    rows.push_back({entry.id + " " + entry.title, seconds_text(entry.seconds)});
  rows.push_back({"whole suite", seconds_text(phase.seconds)});
  return markdown_table({"case", "time"}, rows);
}

}  // namespace

std::string worst_share(const std::vector<CaseReport>& cases) {
  const Check* worst = nullptr;
  for (const CaseReport& entry : cases) {
    for (const Check& check : entry.checks) {
      if (!was_measured(check)) continue;
      if (worst == nullptr || badness(check.share) > badness(worst->share)) worst = &check;
    }
  }
  return worst == nullptr ? std::string(kNoFigure) : figure(worst->share);
}

std::string environment_table(const Environment& environment) {
  std::vector<Row> rows;
  for (const auto& [name, value] : environment.entries) rows.push_back({name, value});
  return rows.empty() ? std::string() : markdown_table({"environment", ""}, rows) + "\n";
}

std::string seconds_text(double seconds) {
  return fmt::format("{:.2f} s", seconds);
}

std::string bytes_text(std::int64_t bytes) {
  if (bytes <= 0) return std::string(kNoFigure);
  const double mebibytes = static_cast<double>(bytes) / (1 << 20);
  return mebibytes < 1024 ? fmt::format("{:.0f} MiB", mebibytes)
                          : fmt::format("{:.2f} GiB", mebibytes / 1024);
}

std::string phase_page_name(const PhaseReport& phase) {
  const std::string name = fmt::format("phase{}_{}.md", phase.phase, phase.name);
  return phase.folder.empty() ? name : phase.folder + "/" + name;
}

std::string phase_page(const PhaseReport& phase, const Drawings& drawings) {
  const VerdictCounts counts = phase.counts();
  const std::vector<CaseReport> cases = phase.judged_cases();
  std::string text = fmt::format("# {}: {}\n\n", phase_label(phase), verdict_name(counts.overall()));
  text += what_is_wrong(phase);
  text += counts.to_string() + ".\n\n";
  text += conditions(phase);
  if (!drawings.problem.empty() && has_pictures(phase)) {
    text +=
        "Without pictures, the tables have their figures: " + markdown_sentence(drawings.problem) + ".\n\n";
  }
  if (!cases.empty()) text += case_table(cases);
  for (const CaseReport& entry : cases) text += case_section(phase, entry, drawings);
  text += "## Environment and times\n\n";
  return text + environment_table(phase.environment) + phase_times(phase);
}

}  // namespace plumbline
