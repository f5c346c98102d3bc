// Which known mistakes account for what failed.
#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "harness/error_pattern.h"
#include "harness/explain.h"
#include "harness/stacked_rows.h"
#include "harness/tolerance_row.h"

namespace plumbline {
namespace {

constexpr std::size_t kShown = 4;  // suspects of an op
constexpr double kNear = 0.5;      // of the elements: what one that does not fit explains, if it is shown

bool may_ask(const OpResult& op) {
  return op.verdict == Verdict::failed || op.verdict == Verdict::mistrusted;
}

using StepKey = std::pair<SequenceId, int>;

constexpr int kWholeLists = 2;  // for each probe

// Some rows of a step, for ops whose rows do not see each other: a suspect costs a replay, and a large
// layer's whole output tells no more than a part of it that is wrong.
class RowWindow final : public RecordedStep {
 public:
  RowWindow(const RecordedStep& step, std::int64_t begin, std::int64_t end)
      : step_(step), begin_(begin), end_(end) {}
  const GivenInputs* given() const override { return nullptr; }
  const TensorView* find(OpSite site) const override {
    const TensorView* whole = step_.find(site);
    const std::vector<Axis>& axes = probe_spec(site.probe).shape;
    const bool by_rows = whole != nullptr && !axes.empty() && axes.front() == Axis::tokens &&
                         whole->shape.rank() > 0 && whole->shape[0] == step_.tokens();
    if (!by_rows) return nullptr;
    return &views_.insert_or_assign(site, whole->rows(begin_, end_)).first->second;
  }
  const TensorView* previous_key(int) const override { return nullptr; }
  const TensorView* previous_value(int) const override { return nullptr; }
  std::int64_t past_length() const override { return 0; }
  std::int64_t tokens() const override { return end_ - begin_; }
  Precision precision() const override { return step_.precision(); }

 private:
  const RecordedStep& step_;
  const std::int64_t begin_, end_;
  mutable std::map<OpSite, TensorView> views_;
};

// The step, or a window of it about the first wrong row.
std::unique_ptr<RowWindow> window_of(const OpResult& op, const RecordedStep& step) {
  constexpr std::int64_t kElements = 1 << 21, kFewest = 8, kMost = 64;
  const std::int64_t rows = stackable_rows(op.site, step);
  if (rows == 0 || rows != step.tokens()) return nullptr;
  const std::int64_t width = step.find(op.site)->elements() / rows;
  const std::int64_t wanted = std::clamp(kElements / std::max<std::int64_t>(width, 1), kFewest, kMost);
  if (rows <= wanted) return nullptr;
  const std::int64_t begin =
      std::clamp(op.first_bad_row.value_or(0) - wanted / 4, std::int64_t{0}, rows - wanted);
  return std::make_unique<RowWindow>(step, begin, begin + wanted);
}

// One entry of the table: ops of one probe with the same outcome.
struct Group {
  std::vector<const OpResult*> ops;
  int untried = 0;  // of the same probe, wrong too
};

// What ops have in common that share an entry.
std::string finding(const OpResult& op) {
  const std::string verdict = verdict_of(op.suspects);
  return site_name({op.site.probe, 0}) + ": " + (verdict.starts_with("none fits") ? "none fits" : verdict);
}

// "model.layers.0.self_attn.scores and in 4 other layers"
std::string name_of(const Group& group) {
  std::set<int> layers;
  std::set<StepKey> steps;
  for (const OpResult* op : group.ops) {
    layers.insert(op->site.layer);
    steps.insert({op->sequence, op->step});
  }
  std::string name = site_name(group.ops.front()->site);
  if (layers.size() > 1) {
    name += fmt::format(" and in {} other layer{}", layers.size() - 1, layers.size() > 2 ? "s" : "");
  }
  if (steps.size() > 1) name += fmt::format(", in {} steps", steps.size());
  if (group.untried > 0) name += fmt::format("; {} more wrong, not tried", group.untried);
  return name;
}

std::string distance(double value) {
  return std::isfinite(value) ? fmt::format("{:.1e}", value) : "not finite";
}

std::string standing(const SuspectFit& fit) {
  if (!fit.fits) return "nearest, does not fit";
  if (fit.fitted) return "fits, with numbers fitted to it";
  return fit.tied ? "fits as well: not to be told apart here" : "fits";
}

// Its name stands in a group's first row alone.
void add_rows(const Group& group, Evidence& table) {
  const std::vector<SuspectFit>& ranked = group.ops.front()->suspects;
  std::string name = name_of(group);
  const auto add = [&](std::vector<std::string> row) {
    row.insert(row.begin(), std::exchange(name, ""));
    table.rows.push_back(std::move(row));
  };
  if (ranked.empty()) return add({"none is known for this op", "", "", "", "", group.ops.front()->pattern});
  const SuspectFit& best = ranked.front();
  const auto computed =
      std::count_if(ranked.begin(), ranked.end(), [](const SuspectFit& fit) { return fit.trouble.empty(); });
  if (!best.fits || best.fitted) {
    add({computed > 0 ? fmt::format("none fits of {} known", computed) : "none could be computed", "", "", "",
         "", group.ops.front()->pattern});
  }
  std::size_t shown = 0;
  for (const SuspectFit& fit : ranked) {
    const bool near = fit.explained >= kNear;
    if (fit.fits ? fit.fitted && !best.fitted : best.fits || !near) continue;
    if (shown++ == kShown) break;
    add({fit.name, standing(fit), distance(fit.to_suspect), distance(fit.to_right),
         fmt::format("{:.1f} % of {}", 100 * fit.explained, fit.in_question), fit.meaning});
  }
  for (const SuspectFit& fit : ranked) {
    if (!fit.trouble.empty()) add({fit.name, fit.trouble, "", "", "", fit.meaning});
  }
}

}  // namespace

SuspectTrial::SuspectTrial(const Trace& subject, const Replayer& replayer, const Tolerances& tolerances,
                           bool our_engine)
    : subject_(subject),
      replayer_(replayer),
      tolerances_(tolerances),
      forbidden_(tolerances.gate(our_engine ? "forbidden_weight" : "forbidden_weight_others")) {
  for (std::size_t i = 0; i < subject.steps.size(); ++i) {
    step_of_.emplace(StepKey{subject.steps[i].sequence, subject.steps[i].step}, i);
    steps_.emplace_back(subject, i);
  }
}

std::string SuspectTrial::where_wrong(const OpResult& op, const RecordedStep& step) const {
  const DType storage = subject_.metadata.storage;
  std::string why;
  const std::optional<Replay> right = replayer_.replay(op.site, step, storage, why);
  const TensorView* actual = step.find(op.site);
  if (!right || actual == nullptr) return {};
  const Tolerance& tolerance =
      tolerance_of(op.site, op.judged_as, step, storage, subject_.metadata.device, tolerances_);
  return error_pattern(op.site, step, *right,
                       beyond_gate(*actual, *right, tolerance, op.judged_as, forbidden_),
                       replayer_.config().head_dim);
}

Asked SuspectTrial::ask(const OpResult& op, const std::set<std::string>& names, bool pattern_too) const {
  Asked asked{op.site, op.sequence, op.step, names, {}, false, std::nullopt};
  const RecordedStep& step = steps_.at(step_of_.at({op.sequence, op.step}));
  const std::unique_ptr<RowWindow> window = window_of(op, step);
  try {
    asked.ranked =
        suspects_of(op.site, window ? static_cast<const RecordedStep&>(*window) : step, replayer_,
                    tolerances_, subject_.metadata.storage, subject_.metadata.device, forbidden_, names);
    if (pattern_too || verdict_of(asked.ranked).starts_with("none fits"))
      asked.pattern = where_wrong(op, step);
  } catch (const std::exception& trouble) {  // for want of memory, say: the report goes on without
    asked.failed = asked.ranked.empty();
    if (asked.failed) asked.ranked = {not_computed("all suspects", "", trouble)};
  }
  return asked;
}

static void explain_knowing(SuspectsKnown& all, Judgement& judgement, const AskSuspects& ask) {
  // True when a known mistake fits. One that any op may have, with numbers fitted to this very output, is not
  // looked for elsewhere.
  const auto fits = [&](OpResult& op, const std::set<std::string>& names) {
    Asked asked = ask(op, names);
    op.suspects_tried = true;
    if (!asked.failed || op.suspects.empty()) op.suspects = std::move(asked.ranked);
    if (asked.pattern && verdict_of(op.suspects).starts_with("none fits")) op.pattern = *asked.pattern;
    return !op.suspects.empty() && op.suspects.front().fits && !op.suspects.front().fitted;
  };
  for (OpResult& op : judgement.ops) {
    if (!may_ask(op)) continue;
    SuspectsKnown::OfProbe& known = all.probes[op.site.probe];
    if (!known.names.empty()) {
      if (all.tries_left-- <= 0) continue;
      if (fits(op, known.names)) continue;
    }
    if (known.whole_lists++ >= kWholeLists) continue;
    if (!fits(op, {})) continue;
    for (const SuspectFit& fit : op.suspects) {
      if (fit.fits && !fit.fitted) known.names.insert(fit.name);
    }
  }
}

void Explainer::explain(const Trace& subject, Judgement& judgement) {
  if (std::none_of(judgement.ops.begin(), judgement.ops.end(), may_ask)) return;
  const SuspectTrial trial(subject, replayer_, tolerances_, our_engine_);
  explain_knowing(known_, judgement, [&](const OpResult& op, const std::set<std::string>& names) {
    return trial.ask(op, names);
  });
}

void explain_in_order(Judgement& judgement, const AskSuspects& ask) {
  SuspectsKnown nothing;
  explain_knowing(nothing, judgement, ask);
}

Evidence suspects_of_wrong_ops(const Judgement& judgement, std::set<std::string>* shown) {
  Evidence table{"suspects: known mistakes tried on what is wrong",
                 {"op", "suspect", "", "RMS to the suspect", "RMS to the right answer", "explained",
                  "what it means, or where the op is wrong"},
                 {}};
  std::vector<Group> groups;
  std::map<std::string, std::size_t> index;
  std::map<Probe, int> untried;
  for (const OpResult& op : judgement.ops) {
    if (!op.suspects_tried) {
      untried[op.site.probe] += may_ask(op) ? 1 : 0;
      continue;
    }
    const auto [at, fresh] = index.try_emplace(finding(op), groups.size());
    if (fresh) groups.emplace_back();
    groups[at->second].ops.push_back(&op);
  }
  for (Group& group : groups) {
    if (shown != nullptr && !shown->insert(finding(*group.ops.front())).second) continue;
    group.untried = std::exchange(untried[group.ops.front()->site.probe], 0);
    add_rows(group, table);
  }
  return table;
}

}  // namespace plumbline
