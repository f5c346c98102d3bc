// One op seen closely, and which ops to see so.
#include <algorithm>

#include <fmt/format.h>

#include "harness/evidence.h"
#include "harness/report_text.h"
#include "harness/statistics.h"
#include "harness/tolerance_row.h"

namespace plumbline {
namespace {

constexpr std::size_t kShown = 3;

AxisNames axis_names(const ProbeSpec& spec) {
  AxisNames names;
  for (const Axis axis : spec.shape) {
    switch (axis) {
      case Axis::tokens:
        names.emplace_back("position");
        break;
      case Axis::keys:
        names.emplace_back("key");
        break;
      case Axis::heads:
      case Axis::kv_heads:
        names.emplace_back("head");
        break;
      case Axis::head_dim:
        names.emplace_back("channel of the head");
        break;
      case Axis::rotary_pairs:
        names.emplace_back("rotary pair");
        break;
      case Axis::vocab:
        names.emplace_back("token id");
        break;
      default:
        names.emplace_back("channel");
    }
  }
  return names;
}

// [tokens, heads * head_dim] as [tokens, heads, head_dim], where the op's outputs are those of heads.
bool splits_into_heads(const ProbeSpec& spec, const TensorView& view, std::int64_t head_dim) {
  if (head_dim <= 0 || view.shape.rank() != 2 || !view.is_contiguous()) return false;
  const Axis last = spec.shape.back();
  return (last == Axis::query_dim || last == Axis::key_value_dim) && view.shape[1] % head_dim == 0;
}

TensorView split(const TensorView& view, std::int64_t head_dim) {
  return {view.data, view.dtype, Shape{view.shape[0], view.shape[1] / head_dim, head_dim}, view.device};
}

}  // namespace

std::vector<OpOfRun> ops_to_see_closely(std::span<const Judgement* const> judgements) {
  std::vector<OpOfRun> wrong;
  std::optional<OpOfRun> nearest;
  for (std::size_t run = 0; run < judgements.size(); ++run) {
    for (const OpResult& op : judgements[run]->ops) {
      if (op.verdict == Verdict::failed && !op.worst.index.empty()) wrong.push_back({run, &op});
      const bool counts = op.verdict == Verdict::passed && !op.exact && op.site.layer >= 0;
      if (counts && (!nearest || op.share > nearest->op->share)) nearest = {run, &op};
    }
  }
  std::ranges::stable_sort(wrong, [](const OpOfRun& a, const OpOfRun& b) {
    return a.op->site == b.op->site ? a.op->rows > b.op->rows : a.op->site < b.op->site;
  });
  std::vector<OpOfRun> chosen;
  for (const OpOfRun& each : wrong) {
    const bool seen = std::ranges::any_of(
        chosen, [&](const OpOfRun& other) { return other.op->site.probe == each.op->site.probe; });
    if (!seen && chosen.size() < kShown) chosen.push_back(each);
  }
  if (wrong.empty() && nearest) chosen.push_back(*nearest);
  return chosen;
}

std::vector<Evidence> op_seen_closely(OpSite site, const std::string& subject, const TensorView& actual,
                                      const Replay& replay, const Tolerance& tolerance,
                                      std::int64_t head_dim) {
  const ProbeSpec& spec = probe_spec(site.probe);
  const std::string name = fmt::format("{} ({})", site_name(site), subject);
  if (!(actual.shape == replay.expected.shape()) || actual.elements() == 0) return {};
  const TensorView expected = replay.expected.view();
  const TensorView allowed = replay.allowed.empty() ? TensorView{} : replay.allowed.view();
  AxisNames names = axis_names(spec);
  if (static_cast<int>(names.size()) != actual.shape.rank()) return {};
  std::vector<Evidence> seen;
  const std::string title = "where the local error of " + name + " sits";
  if (splits_into_heads(spec, actual, head_dim) && allowed.data == nullptr) {
    names = {names[0], "head", "channel of the head"};
    seen.push_back(error_along_axes(title, names, split(actual, head_dim), split(expected, head_dim)));
  } else {
    seen.push_back(error_along_axes(title, names, actual, expected, allowed));
  }
  Evidence worst{"its worst points: " + name,
                 {fmt::format("at [{}]", fmt::join(axis_names(spec), ", ")), "expected", "actual", "error",
                  "gate", "share"},
                 {}};
  for (const WorstPoint& point : worst_points(actual, replay, tolerance)) {
    worst.rows.push_back({point.place.to_string(), fmt::format("{:.9g}", point.expected),
                          fmt::format("{:.9g}", point.actual), figure(point.error), figure(point.gate),
                          figure(point.share)});
  }
  if (!worst.rows.empty()) seen.push_back(std::move(worst));
  return seen;
}

std::vector<Evidence> op_seen_closely(OpSite site, const std::string& subject, const RecordedStep& step,
                                      const Replayer& replayer, const Tolerances& tolerances, DType storage,
                                      DeviceKind device) {
  std::string why;
  const TensorView* const actual = step.find(site);
  const std::optional<Replay> replay = replayer.replay(site, step, storage, why);
  if (actual == nullptr || !replay) return {};
  const Tolerance& tolerance =
      tolerance_of(site, replayer.judged_as(site, step), step, storage, device, tolerances);
  return op_seen_closely(site, subject, *actual, *replay, tolerance, replayer.config().head_dim);
}

}  // namespace plumbline
