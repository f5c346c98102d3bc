#include "harness/explain.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
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

// A bar of up to 20 blocks, as a picture that any Markdown viewer shows.
std::string bar(double value, double largest) {
  const bool drawable = std::isfinite(value) && std::isfinite(largest) && value > 0;
  const int blocks = drawable ? static_cast<int>(std::lround(20 * value / largest)) : 0;
  std::string text;
  for (int i = 0; i < blocks; ++i) text += "█";
  return text;
}

// Pearson's correlation of y with its index; 0 for a constant.
double correlation_with_index(const std::vector<double>& y) {
  const auto n = static_cast<double>(y.size());
  const double mean_x = (n - 1) / 2;
  const double mean_y = std::accumulate(y.begin(), y.end(), 0.0) / n;
  double xy = 0, xx = 0, yy = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double dx = static_cast<double>(i) - mean_x, dy = y[i] - mean_y;
    xy += dx * dy;
    xx += dx * dx;
    yy += dy * dy;
  }
  return xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : 0;
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

Evidence error_by_layer(const Judgement& judgement) {
  struct Row {
    double share = 0;
    OpSite worst;
    std::optional<double> residual_error;
  };
  std::map<int, Row> rows;
  for (const OpResult& op : judgement.ops) {
    if (op.site.layer < 0) continue;
    Row& row = rows[op.site.layer];
    if (op.share > row.share || row.share == 0) row.worst = op.site;
    row.share = std::max(row.share, op.share);
    if (op.site.probe == Probe::mlp_residual && op.accumulated) {
      row.residual_error = std::max(row.residual_error.value_or(0), op.accumulated->max_abs);
    }
  }
  double largest = 0;
  for (const auto& [layer, row] : rows) largest = std::max(largest, row.residual_error.value_or(0));
  Evidence table{"error by layer", {"layer", "largest share of a gate", "at", "accumulated max abs", ""}, {}};
  for (const auto& [layer, row] : rows) {
    const double error = row.residual_error.value_or(0);
    table.rows.push_back({std::to_string(layer), fmt::format("{:.3f}", row.share),
                          std::string(probe_spec(row.worst.probe).name),
                          row.residual_error ? fmt::format("{:.2e}", error) : "not measured",
                          bar(error, largest)});
  }
  return table;
}

Evidence error_by_position(const TensorView& actual, const TensorView& expected) {
  require(actual.shape == expected.shape && actual.shape.rank() == 2, "error_by_position: [tokens, n] twice");
  constexpr std::int64_t kStretches = 24;
  const std::int64_t tokens = actual.shape[0];
  std::vector<double> errors;
  for (std::int64_t row = 0; row < tokens; ++row) {
    errors.push_back(measure_error(actual.rows(row, row + 1), expected.rows(row, row + 1)).max_abs);
  }
  const double largest = errors.empty() ? 0 : *std::max_element(errors.begin(), errors.end());
  Evidence table{fmt::format("error by position (r {:.2f}, n {})", correlation_with_index(errors), tokens),
                 {"positions", "max abs", ""},
                 {}};
  const std::int64_t stretches = std::min(kStretches, tokens);
  for (std::int64_t i = 0; i < stretches; ++i) {
    const std::int64_t first = i * tokens / stretches, last = (i + 1) * tokens / stretches;
    const double error = *std::max_element(errors.begin() + first, errors.begin() + last);
    table.rows.push_back({last - first == 1 ? std::to_string(first) : fmt::format("{}–{}", first, last - 1),
                          fmt::format("{:.2e}", error), bar(error, largest)});
  }
  return table;
}

Evidence share_by_op(const Judgement& judgement) {
  struct Row {
    int checks = 0;
    double share = 0;
    double slope = 0;
    OpSite worst;
  };
  std::map<OpClass, Row> rows;
  for (const OpResult& op : judgement.ops) {
    Row& row = rows[op.judged_as];
    if (row.checks++ == 0 || op.share > row.share) row.worst = op.site;
    row.share = std::max(row.share, op.share);
    row.slope = std::max(row.slope, op.slope);
  }
  Evidence table{"share of the gate used, by op", {"op", "checks", "largest share", "at", "slope z"}, {}};
  for (const auto& [op, row] : rows) {
    table.rows.push_back({std::string(op_class_name(op)), std::to_string(row.checks),
                          fmt::format("{:.3f}", row.share), site_name(row.worst),
                          row.slope > 0 ? fmt::format("{:.2f}", row.slope) : "–"});
  }
  return table;
}

}  // namespace plumbline
