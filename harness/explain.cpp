#include "harness/explain.h"

#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/format.h>

namespace plumbline {
namespace {

// What the rows of an op's output are; empty where they are no places in the sequence.
std::string row_unit(OpSite site) {
  const std::vector<Axis>& axes = probe_spec(site.probe).shape;
  if (!axes.empty() && axes.front() == Axis::keys) return "slot";
  return std::find(axes.begin(), axes.end(), Axis::tokens) != axes.end() ? "position" : "";
}

// Where along the positions the op is wrong.
std::string spread(const OpResult& result) {
  const std::string unit = row_unit(result.site);
  if (unit.empty() || !result.first_bad_row || result.rows <= 1) return {};
  const std::int64_t first = *result.first_bad_row;
  if (result.bad_rows == result.rows) return fmt::format(", at every {}", unit);
  if (result.bad_rows == 1) return fmt::format(", at {} {} only", unit, first);
  if (result.bad_rows == result.rows - first) return fmt::format(", from {} {} on", unit, first);
  return fmt::format(", at {} of {} {}s, first {}", result.bad_rows, result.rows, unit, first);
}

bool several_steps(const Judgement& judgement) {
  return std::any_of(judgement.ops.begin(), judgement.ops.end(),
                     [](const OpResult& op) { return op.step != 0 || op.sequence != 0; });
}

std::string where(const OpResult& result) {
  return fmt::format("seq.{}/step.{}/", result.sequence, result.step);
}

// Passed ops of one row: of one step, one kind, and proven in one way. A note (an assumption) sets an op
// apart.
using FoldKey = std::tuple<SequenceId, int, OpClass, bool, bool, std::string>;

FoldKey fold_key(const OpResult& op) {
  return {op.sequence, op.step, op.judged_as, op.exact, op.trivial, op.reason};
}

bool by_element(const OpResult& result) {
  return result.verdict == Verdict::failed && !result.worst.index.empty() && result.share > 1;
}

// An exact op's row shows how many elements differ; a bounded one's the worst error against its bound there.
void fill_figures(Check& check, const OpResult& result) {
  check.share = result.share;
  if (result.exact) {
    check.metric = "different elements";
    check.measured = static_cast<double>(result.local.different + result.local.not_finite);
    if (result.verdict == Verdict::failed && check.measured == 0) check.measured = result.error;
    check.smallest_gate = result.error;
    return;
  }
  check.metric = "error at worst share";
  check.measured = result.error;
  check.gate = result.gate;
  check.smallest_gate = result.error;
}

// What the first wrong op's suspects come to.
std::string matched(const OpResult& result) {
  if (!result.suspects_tried || result.suspects.empty()) return {};
  const SuspectFit& best = result.suspects.front();
  if (!best.fits) {
    return "; no known mistake fits" + (result.pattern.empty() ? "" : " (" + result.pattern + ")");
  }
  if (best.fitted)
    return fmt::format("; no known mistake fits, but *{}* does, to {:.0e}", best.name, best.to_suspect);
  std::string names = "*" + best.name + "*";
  for (std::size_t i = 1; i < result.suspects.size() && result.suspects[i].tied; ++i) {
    names += " or *" + result.suspects[i].name + "*";
  }
  std::string text = fmt::format("; matches {} to {:.0e}", names, best.to_suspect);
  if (std::isfinite(best.to_right)) text += fmt::format(" (the right answer is {:.0e} away)", best.to_right);
  return text;
}

}  // namespace

std::string headline(const Judgement& judgement) {
  const std::vector<const OpResult*> wrong = judgement.wrong();
  if (wrong.empty()) return {};
  const OpResult& first = *wrong.front();
  std::string name = site_name(first.site);
  if (several_steps(judgement)) name = where(first) + name;
  std::string text = "first wrong op: " + name;
  if (by_element(first)) {
    const std::string gate = first.gate == 0 ? "0" : fmt::format("{:.1e}", first.gate);
    text += fmt::format(", local error {:.1e} (gate {}){}", first.error, gate, spread(first));
    if (first.reason != "beyond its bound" && first.reason != "not exact") text += "; " + first.reason;
  } else {
    text += fmt::format(", {}: {}", verdict_name(first.verdict), first.reason);
  }
  text += matched(first);
  if (wrong.size() > 1) text += fmt::format("; {} more ops are wrong by their own inputs", wrong.size() - 1);
  return text;
}

Check to_check(const OpResult& result, const std::string& subject) {
  Check check;
  check.what = site_name(result.site);
  check.subject = subject;
  check.op = op_class_name(result.judged_as);
  check.verdict = result.verdict;
  check.trivial = result.trivial;
  check.note = result.reason;
  if (result.step != 0 || result.sequence != 0) check.what = where(result) + check.what;
  fill_figures(check, result);
  if (!result.worst.index.empty() && result.error > 0) {
    if (!check.note.empty()) check.note += "; ";
    check.note += "worst at " + result.worst.to_string() + spread(result);
  }
  if (result.suspects_tried && !result.suspects.empty()) {
    check.note += (check.note.empty() ? "" : "; ") + ("suspect: " + verdict_of(result.suspects));
  }
  return check;
}

std::vector<Check> to_checks(const Judgement& judgement, const std::string& subject) {
  std::vector<Check> checks;
  if (!several_steps(judgement)) {
    for (const OpResult& op : judgement.ops) checks.push_back(to_check(op, subject));
    return checks;
  }
  std::map<FoldKey, std::size_t> rows;
  for (const OpResult& op : judgement.ops) {
    Check check = to_check(op, subject);
    if (op.verdict != Verdict::passed) {
      checks.push_back(std::move(check));
      continue;
    }
    const auto [row, fresh] = rows.try_emplace(fold_key(op), checks.size());
    if (fresh) {
      checks.push_back(std::move(check));
      continue;
    }
    Check& worst = checks[row->second];
    check.count = worst.count + 1;
    if (check.share > worst.share) {
      worst = std::move(check);
    } else {
      worst.count = check.count;
    }
  }
  return checks;
}

void skip_trivial(Judgement& judgement) {
  std::map<OpClass, bool> all_trivial;
  for (const OpResult& op : judgement.ops) {
    if (op.verdict != Verdict::passed) continue;
    const auto [entry, added] = all_trivial.emplace(op.judged_as, true);
    entry->second = entry->second && op.trivial;
  }
  for (OpResult& op : judgement.ops) {
    if (op.verdict != Verdict::passed || !all_trivial[op.judged_as]) continue;
    op.verdict = Verdict::skipped;
    op.reason = "trivial: the right output does not depend on the op's inputs here";
  }
}

}  // namespace plumbline
