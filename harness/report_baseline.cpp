#include "harness/report_baseline.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "harness/error.h"
#include "harness/report_markdown.h"
#include "harness/report_text.h"

namespace plumbline {
namespace {

using Row = std::vector<std::string>;

constexpr std::size_t kFailuresListed = 50;  // of a table; the phase pages and report.json have them all

bool is_wrong(Verdict verdict) {
  return verdict != Verdict::passed && verdict != Verdict::skipped;
}

// A phase that both runs judged, its cases as judged.
struct Pair {
  const PhaseReport* before;
  const PhaseReport* now;
  std::vector<CaseReport> cases_before, cases_now;
};

// The same phase of the same model; where each run has but one of that phase, of whatever model.
const PhaseReport* counterpart(const RunReport& before, const RunReport& now, const PhaseReport& phase) {
  const auto same_phase = [&](const PhaseReport& other) { return other.phase == phase.phase; };
  const auto found = std::ranges::find_if(before.phases, [&](const PhaseReport& other) {
    return same_phase(other) && other.model == phase.model;
  });
  if (found != before.phases.end()) return &*found;
  const bool alone = std::ranges::count_if(before.phases, same_phase) == 1 &&
                     std::ranges::count_if(now.phases, same_phase) == 1;
  return alone ? &*std::ranges::find_if(before.phases, same_phase) : nullptr;
}

std::vector<Pair> common_phases(const RunReport& before, const RunReport& now) {
  std::vector<Pair> pairs;
  for (const PhaseReport& phase : now.phases) {
    const PhaseReport* then = counterpart(before, now, phase);
    if (then != nullptr) pairs.push_back({then, &phase, then->judged_cases(), phase.judged_cases()});
  }
  return pairs;
}

// "3", "3 (slim)".
std::string phase_number(const PhaseReport& phase) {
  return phase.folder.empty() ? std::to_string(phase.phase)
                              : fmt::format("{} ({})", phase.phase, phase.folder);
}

// " (slim)" behind names of such a phase.
std::string of_model(const PhaseReport& phase) {
  return phase.folder.empty() ? std::string() : " (" + phase.folder + ")";
}

const CaseReport* find_case(const std::vector<CaseReport>& cases, const std::string& id) {
  const auto found = std::ranges::find(cases, id, &CaseReport::id);
  return found == cases.end() ? nullptr : &*found;
}

// Calls use(before, now, model) for each case that both hold; `model` is " (slim)" for a second model's.
template <typename Use>
void for_common_cases(const std::vector<Pair>& pairs, Use use) {
  for (const Pair& pair : pairs) {
    for (const CaseReport& entry : pair.cases_now) {
      const CaseReport* before = find_case(pair.cases_before, entry.id);
      if (before != nullptr) use(*before, entry, of_model(*pair.now));
    }
  }
}

std::string environment_value(const PhaseReport& phase, const std::string& name) {
  const auto& entries = phase.environment.entries;
  const auto found = std::ranges::find(entries, name, &std::pair<std::string, std::string>::first);
  return found == entries.end() ? std::string() : found->second;
}

// What makes figures incomparable. Commits and machines are expected to differ.
Evidence conditions(const std::vector<Pair>& pairs) {
  std::vector<Row> rows;
  const auto compare = [&](const std::string& what, const std::string& before, const std::string& now) {
    if (before.empty() || now.empty() || before == now) return;
    const Row row{what, before, now};
    if (std::ranges::find(rows, row) == rows.end()) rows.push_back(row);
  };
  for (const Pair& pair : pairs) {
    compare("model", pair.before->model, pair.now->model);
    compare("engine", pair.before->engine, pair.now->engine);
    for (const char* name : {"weight hash", "instruction set", "device", "storage dtype", "goldens"}) {
      compare(name, environment_value(*pair.before, name), environment_value(*pair.now, name));
    }
  }
  return {"Under other conditions", {"what", "then", "now"}, std::move(rows)};
}

std::string state_of(const CaseReport* entry) {
  if (entry == nullptr) return std::string(kNoFigure);
  const VerdictCounts counts = entry->counts();
  return fmt::format("{}: {}", verdict_name(counts.overall()), counts.to_string());
}

Evidence changed_cases(const std::vector<Pair>& pairs) {
  std::vector<Row> rows;
  const auto compare = [&](const CaseReport* before, const CaseReport* now, const std::string& model) {
    const std::string then = state_of(before), today = state_of(now);
    const CaseReport& named = now != nullptr ? *now : *before;
    if (then != today) rows.push_back({named.id + " " + named.title + model, then, today});
  };
  for (const Pair& pair : pairs) {
    // A suite may end badly with all of its cases well.
    const Verdict then = pair.before->counts().overall(), today = pair.now->counts().overall();
    if (then != today && !pair.before->partial && !pair.now->partial) {
      rows.push_back(
          {phase_label(*pair.now), std::string(verdict_name(then)), std::string(verdict_name(today))});
    }
    for (const CaseReport& entry : pair.cases_now) {
      const CaseReport* before = find_case(pair.cases_before, entry.id);
      if (before != nullptr || !pair.before->partial) compare(before, &entry, of_model(*pair.now));
    }
    for (const CaseReport& entry : pair.cases_before) {
      const bool gone = find_case(pair.cases_now, entry.id) == nullptr;
      if (gone && !pair.now->partial) compare(&entry, nullptr, of_model(*pair.now));
    }
  }
  return {"Other verdicts, or other numbers of checks", {"phase or case", "then", "now"}, std::move(rows)};
}

using CheckName = std::tuple<std::string, std::string, std::string>;  // what, subject, metric

CheckName name_of(const Check& check) {
  return {check.what, check.subject, check.metric};
}

std::set<CheckName> wrong_checks(const CaseReport& entry) {
  std::set<CheckName> names;
  for (const Check& check : entry.checks) {
    if (is_wrong(check.verdict)) names.insert(name_of(check));
  }
  return names;
}

// What is wrong in `in` and was not in `other`.
std::vector<Row> failures_only_in(const CaseReport& in, const CaseReport& other, const std::string& model) {
  std::vector<Row> rows;
  const std::set<CheckName> known = wrong_checks(other);
  for (const Check& check : in.checks) {
    if (!is_wrong(check.verdict) || known.contains(name_of(check))) continue;
    rows.push_back({in.id + model, check.what, check.subject, check.metric, figure(check.measured),
                    figure(check.gate), std::string(verdict_name(check.verdict)), check.note});
  }
  const std::string said = in.message;
  if (!said.empty() && said != other.message) {
    rows.push_back({in.id + model, "", "", "", "", "", in.crashed ? "error" : "failed", said});
  }
  return rows;
}

Evidence failures(const std::string& title, std::vector<Row> rows) {
  const std::size_t all = rows.size();
  if (all > kFailuresListed) {
    rows.resize(kFailuresListed);
    rows.push_back({"", fmt::format("and {} more", all - kFailuresListed)});
  }
  return {
      title, {"case", "what", "subject", "metric", "measured", "gate", "verdict", "note"}, std::move(rows)};
}

// Op classes under their names; other checks with a gate under what they say. Empty: of the other kind.
std::string share_name(const Check& check, bool of_ops) {
  if (of_ops) return check.op;
  return check.op.empty() && check.gate > 0 ? check.what : std::string();
}

// The largest share under each name; NaN counts as beyond every gate.
using Shares = std::map<std::string, double>;

void add_shares(const CaseReport& entry, bool of_ops, Shares& shares) {
  for (const Check& check : entry.checks) {
    const std::string name = share_name(check, of_ops);
    if (name.empty() || check.verdict == Verdict::skipped || check.verdict == Verdict::untested) continue;
    const double share = std::isnan(check.share) ? std::numeric_limits<double>::infinity() : check.share;
    double& largest = shares.try_emplace(name, share).first->second;
    largest = std::max(largest, share);
  }
}

std::string ratio(double before, double now) {
  const bool sensible = before > 0 && std::isfinite(before) && std::isfinite(now);
  return sensible ? fmt::format("{:.3g}", now / before) : std::string(kNoFigure);
}

Evidence changed_shares(const std::vector<Pair>& pairs, bool of_ops) {
  Shares before, now;
  for_common_cases(pairs, [&](const CaseReport& then, const CaseReport& today, const std::string&) {
    add_shares(then, of_ops, before);
    add_shares(today, of_ops, now);
  });
  std::vector<Row> rows;
  for (const auto& [name, share] : now) {
    const auto found = before.find(name);
    if (found == before.end()) {
      rows.push_back({name, std::string(kNoFigure), figure(share), std::string(kNoFigure)});
    } else if (found->second != share) {
      rows.push_back({name, figure(found->second), figure(share), ratio(found->second, share)});
    }
  }
  for (const auto& [name, share] : before) {
    if (now.contains(name)) continue;
    rows.push_back({name, figure(share), std::string(kNoFigure), std::string(kNoFigure)});
  }
  const std::string kind = of_ops ? "op" : "check";
  return {"Largest share of a gate, by " + kind, {kind, "then", "now", "now / then"}, std::move(rows)};
}

}  // namespace

RunReport read_report(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) throw Error("is no file", path.string());
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file) throw Error("cannot be read", path.string());
  return run_from_json(text, path.string());
}

BaselineChanges compare_to_baseline(const RunReport& before, const RunReport& now, std::string from) {
  BaselineChanges changes;
  changes.from = std::move(from);
  const std::vector<Pair> pairs = common_phases(before, now);
  std::vector<Row> fresh, gone;
  for_common_cases(pairs, [&](const CaseReport& then, const CaseReport& today, const std::string& model) {
    std::ranges::move(failures_only_in(today, then, model), std::back_inserter(fresh));
    std::ranges::move(failures_only_in(then, today, model), std::back_inserter(gone));
  });
  for (const Pair& pair : pairs) changes.phases.push_back(phase_number(*pair.now));
  for (Evidence& table :
       std::vector<Evidence>{conditions(pairs), failures("New failures", std::move(fresh)),
                             failures("Wrong then, not now", std::move(gone)), changed_cases(pairs),
                             changed_shares(pairs, true), changed_shares(pairs, false)}) {
    if (!table.rows.empty()) changes.tables.push_back(std::move(table));
  }
  return changes;
}

}  // namespace plumbline
