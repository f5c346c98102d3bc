#include "harness/report.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "harness/report_text.h"

namespace plumbline {
namespace {

bool is_wrong(const VerdictCounts& counts) {
  return counts.failed + counts.error + counts.untested + counts.mistrusted > 0;
}

// Op classes, in the order they first appear, of which every check that was not skipped is trivial.
std::vector<std::string> trivial_only_ops(const PhaseReport& phase) {
  std::vector<std::string> order;
  std::map<std::string, bool> all_trivial;
  for (const CaseReport& entry : phase.cases) {
    for (const Check& check : entry.checks) {
      if (check.op.empty() || check.verdict == Verdict::skipped) continue;
      const auto [at, fresh] = all_trivial.try_emplace(check.op, true);
      if (fresh) order.push_back(check.op);
      at->second = at->second && check.trivial;
    }
  }
  std::erase_if(order, [&](const std::string& op) { return !all_trivial.at(op); });
  return order;
}

void distrust(Check& check, bool partial) {
  const std::string why = partial ? "trivial: the cases that were run prove nothing for this op"
                                  : "trivial: nothing in this phase proves this op";
  check.verdict = partial ? Verdict::skipped : Verdict::mistrusted;
  check.note = check.note.empty() ? why : check.note + "; " + why;
}

std::string describe(const Check& check) {
  std::string text = check.what;
  if (!check.subject.empty()) text += " (" + check.subject + ")";
  if (check.verdict == Verdict::untested) return text + ": nothing was compared";
  text += fmt::format(": {} {} (gate {})", check.metric, figure(check.measured), figure(check.gate));
  if (!check.note.empty()) text += ", " + check.note;
  return text;
}

std::string describe(const CaseReport& entry, Verdict verdict) {
  const std::string name = entry.id + " " + entry.title + ": ";
  if (entry.crashed || !entry.message.empty()) return name + entry.message;
  for (const Check& check : entry.checks) {
    if (check.verdict == verdict) return name + describe(check);
  }
  return name + "no check was made";
}

}  // namespace

int CaseReport::checked() const {
  int total = 0;
  for (const Check& check : checks) total += check.count;
  return total;
}

VerdictCounts CaseReport::counts() const {
  VerdictCounts total;
  for (const Check& check : checks) total.add(check.verdict, check.count);
  if (crashed) {
    total.add(Verdict::error);
  } else if (!message.empty()) {
    total.add(Verdict::failed);
  }
  if (total.total() == 0) total.add(Verdict::untested);
  return total;
}

std::vector<std::string> PhaseReport::mistrusted_ops() const {
  return partial ? std::vector<std::string>{} : trivial_only_ops(*this);
}

std::vector<CaseReport> PhaseReport::judged_cases() const {
  std::vector<CaseReport> judged = cases;
  const std::vector<std::string> ops = trivial_only_ops(*this);
  for (CaseReport& entry : judged) {
    for (Check& check : entry.checks) {
      const bool hollow = check.verdict == Verdict::passed && std::ranges::find(ops, check.op) != ops.end();
      if (hollow) distrust(check, partial);
    }
  }
  return judged;
}

VerdictCounts PhaseReport::counts() const {
  VerdictCounts total;
  for (const CaseReport& entry : judged_cases()) total.add(entry.counts());
  const bool ended_well = finished && error.empty();
  if (!ended_well && total.error == 0) total.add(Verdict::error);
  if (total.total() == 0) total.add(Verdict::untested);
  return total;
}

std::string PhaseReport::opening_sentence() const {
  const VerdictCounts total = counts();
  if (!is_wrong(total)) return {};
  if (!headline.empty()) return headline;
  const Verdict worst = total.overall();
  for (const CaseReport& entry : judged_cases()) {
    if (entry.counts().overall() == worst) return describe(entry, worst);
  }
  return error.empty() ? "the suite did not finish" : "the suite did not finish: " + error;
}

std::string PhaseReport::repeat_case_command() const {
  const VerdictCounts total = counts();
  if (!is_wrong(total)) return {};
  if (phase == 0) return repeat_command;  // of a judgement: it has no cases to choose from
  for (const CaseReport& entry : judged_cases()) {
    if (entry.counts().overall() == total.overall()) return repeat_command + " --case " + entry.id;
  }
  return repeat_command;
}

std::string phase_label(const PhaseReport& phase) {
  return phase.folder.empty() ? phase.title : phase.title + ", " + phase.folder;
}

VerdictCounts RunReport::counts() const {
  VerdictCounts total;
  for (const PhaseReport& phase : phases) total.add(phase.counts());
  if (!skipped_reason.empty()) total.add(Verdict::skipped);
  return total;
}

}  // namespace plumbline
