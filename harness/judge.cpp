#include "harness/judge.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

namespace plumbline {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t kSlopeOutputs = 256;  // below, the slope's own scatter is too large

Place place_of(const Shape& shape, std::int64_t logical_index) {
  Place place;
  place.index.assign(static_cast<std::size_t>(shape.rank()), 0);
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    place.index[static_cast<std::size_t>(axis)] = logical_index % shape[axis];
    logical_index /= shape[axis];
  }
  return place;
}

bool discrete(OpClass op) {
  return op == OpClass::token_ids || op == OpClass::positions || op == OpClass::mask || op == OpClass::draw;
}

// The axis along which positions run: queries of scores and probs, else the first.
int row_axis(OpClass op) {
  return op == OpClass::scores || (op == OpClass::softmax) ? 1 : 0;
}

// Flags of rows along the token axis that hold a wrong element.
class BadRows {
 public:
  BadRows(const Shape& shape, OpClass op) {
    axis_ = std::min(row_axis(op), shape.rank() - 1);
    if (axis_ < 0) return;
    inner_ = 1;
    for (int axis = axis_ + 1; axis < shape.rank(); ++axis) inner_ *= shape[axis];
    bad_.assign(static_cast<std::size_t>(shape[axis_]), false);
  }
  void mark(std::int64_t logical_index) {
    if (bad_.empty()) return;
    const auto rows = static_cast<std::int64_t>(bad_.size());
    bad_[static_cast<std::size_t>((logical_index / inner_) % rows)] = true;
  }
  void store(OpResult& result) const {
    result.rows = static_cast<std::int64_t>(bad_.size());
    result.bad_rows = std::count(bad_.begin(), bad_.end(), true);
    const auto first = std::find(bad_.begin(), bad_.end(), true);
    if (first != bad_.end()) result.first_bad_row = first - bad_.begin();
  }

 private:
  int axis_ = 0;
  std::int64_t inner_ = 1;
  std::vector<bool> bad_;
};

void fail(OpResult& result, std::string reason) {
  if (result.verdict == Verdict::failed) return;  // the first reason is the one that counts
  result.verdict = Verdict::failed;
  result.reason = std::move(reason);
}

void keep_worst(OpResult& result, const Shape& shape, std::int64_t index, double error, double gate) {
  const double share = gate > 0 ? error / gate : (error > 0 ? kInfinity : 0.0);
  if (!result.worst.index.empty() && !(share > result.share)) return;
  result.share = share;
  result.error = error;
  result.gate = gate;
  result.worst = place_of(shape, index);
}

// Largest |expected| of the row (last axis) that each element lies in, for ceilings on values of scale 1.
std::vector<double> row_scales(std::span<const double> expected, std::int64_t row_length) {
  std::vector<double> scales;
  for (std::size_t begin = 0; begin < expected.size(); begin += static_cast<std::size_t>(row_length)) {
    double largest = 1.0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(row_length); ++i) {
      const double magnitude = std::fabs(expected[begin + i]);
      if (std::isfinite(magnitude)) largest = std::max(largest, magnitude);
    }
    scales.push_back(largest);
  }
  return scales;
}

// z = |sum e y| / sqrt(sum (B y)^2): the error as a common factor of the output. Over distinct rows only.
double slope(std::span<const double> actual, std::span<const double> expected, std::span<const double> bound,
             const std::vector<bool>& distinct, std::span<const std::uint8_t> allowed,
             std::int64_t row_elements) {
  double numerator = 0, denominator = 0;
  std::int64_t outputs = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const std::size_t row = i / static_cast<std::size_t>(row_elements);
    if ((!distinct.empty() && !distinct[row]) || (!allowed.empty() && allowed[i] == 0)) continue;
    const double scaled = bound[i] * expected[i];
    numerator += (actual[i] - expected[i]) * expected[i];
    denominator += scaled * scaled;
    ++outputs;
  }
  if (outputs < kSlopeOutputs || denominator == 0) return 0;
  return std::fabs(numerator) / std::sqrt(denominator);
}

bool all_equal(std::span<const double> values) {
  return std::all_of(values.begin(), values.end(), [&](double value) { return value == values.front(); });
}

DType expected_dtype(OpSite site, DType storage) {
  const DType dtype = probe_spec(site.probe).dtype;
  const bool always_f32 = site.probe == Probe::inv_freq;
  return dtype == DType::f32 && !always_f32 ? storage : dtype;
}

}  // namespace

std::string Place::to_string() const {
  return fmt::format("[{}]", fmt::join(index, ", "));
}

OpResult compare_op(const TensorView& actual, const Replay& replay, const Tolerance& tolerance, OpClass op,
                    double forbidden_weight) {
  OpResult result;
  result.judged_as = op;
  result.trivial = replay.trivial;
  result.exact = tolerance.rule == Rule::exact;
  const Shape& shape = replay.expected.shape();
  if (!(actual.shape == shape)) {
    fail(result, fmt::format("shape {} where {} is right", actual.shape.to_string(), shape.to_string()));
    return result;
  }
  if (actual.elements() == 0) {
    result.reason = "nothing to compare";
    return result;  // untested
  }
  const bool bounded = !result.exact;
  if (bounded && !(replay.bound.shape() == shape)) {
    result.verdict = Verdict::error;
    result.reason = "the replay gave no bound where the tolerance asks for one";
    return result;
  }

  const Tensor actual64 = to_f64(actual), expected64 = to_f64(replay.expected.view());
  const std::span<const double> y = actual64.values<double>(), y64 = expected64.values<double>();
  const std::span<const double> bound = replay.bound.values<double>();
  const std::span<const std::uint8_t> allowed = replay.allowed.values<std::uint8_t>();
  require(allowed.empty() || allowed.size() == y.size(), "replay: allowed has another shape");
  const TensorView allowed_view = allowed.empty() ? TensorView{} : replay.allowed.view();
  result.local = measure_error(actual64.view(), expected64.view(), allowed_view);

  BadRows bad(shape, op);
  const std::int64_t row_length = shape.rank() > 0 ? shape[shape.rank() - 1] : 1;
  const std::vector<double> scales = tolerance.ceiling ? row_scales(y64, row_length) : std::vector<double>{};
  for (std::size_t i = 0; i < y.size(); ++i) {
    const auto index = static_cast<std::int64_t>(i);
    if (!allowed.empty() && allowed[i] == 0) {
      if (op == OpClass::scores) continue;  // a score may be anything where the mask forbids
      const bool ok = std::isfinite(y[i]) && std::fabs(y[i]) <= forbidden_weight;
      if (!ok) {
        bad.mark(index);
        keep_worst(result, shape, index, std::isfinite(y[i]) ? std::fabs(y[i]) : kInfinity, forbidden_weight);
        fail(result, fmt::format("weight {:.2e} at {}, which the mask forbids", y[i],
                                 place_of(shape, index).to_string()));
      }
      continue;
    }
    if (y[i] == y64[i]) {  // also the same infinity
      keep_worst(result, shape, index, 0.0, bounded ? tolerance.lambda * bound[i] : 0.0);
      continue;
    }
    if (!std::isfinite(y[i]) || !std::isfinite(y64[i])) {
      bad.mark(index);
      keep_worst(result, shape, index, kInfinity, 0.0);
      fail(result,
           fmt::format("{} at {} where {} is right", y[i], place_of(shape, index).to_string(), y64[i]));
      continue;
    }
    const double error = std::fabs(y[i] - y64[i]);
    double gate = 0;
    if (bounded) {
      gate = half_spacing(y64[i], actual.dtype == DType::f32 ? DType::f64 : actual.dtype) +
             tolerance.lambda * bound[i];
      if (tolerance.ceiling) {
        gate = std::min(gate, *tolerance.ceiling * scales[i / static_cast<std::size_t>(row_length)]);
      }
    }
    keep_worst(result, shape, index, error, gate);
    const bool ok = error <= gate;
    if (!ok) {
      bad.mark(index);
      fail(result, bounded ? "beyond its bound" : "not exact");
    }
  }
  bad.store(result);
  if (result.verdict == Verdict::failed) return result;
  if (result.local.compared == 0) {
    result.reason = "no place that counts";
    return result;  // untested
  }

  if (bounded && tolerance.largest_slope) {
    const std::int64_t row_elements = shape.rank() > 0 ? shape.elements() / shape[0] : 1;
    result.slope = slope(y, y64, bound, replay.distinct_row, allowed, row_elements);
    const bool ok = result.slope <= *tolerance.largest_slope;
    if (!ok) {
      fail(result, fmt::format("the error follows the output: slope z {:.1f} (gate {})", result.slope,
                               *tolerance.largest_slope));
      return result;
    }
  }
  if (!discrete(op) && !replay.trivial && y.size() > 1 && all_equal(y64)) {
    result.verdict = Verdict::mistrusted;
    result.reason = "the right output is constant: agreement proves nothing";
    return result;
  }
  result.verdict = Verdict::passed;
  return result;
}

OpResult judge_op(OpSite site, const RecordedStep& step, const Replayer& replayer,
                  const Tolerances& tolerances, DType storage, DeviceKind device,
                  const JudgeOptions& options) {
  OpResult result;
  result.site = site;
  result.judged_as = replayer.judged_as(site, step);
  const TensorView* actual = step.find(site);
  if (actual == nullptr) {
    result.verdict = options.require_all ? Verdict::untested : Verdict::skipped;
    result.reason = "not recorded";
    return result;
  }
  if (const DType dtype = expected_dtype(site, storage); actual->dtype != dtype) {
    fail(result, fmt::format("dtype {} where {} is right", dtype_name(actual->dtype), dtype_name(dtype)));
    return result;
  }
  std::string why;
  std::optional<Replay> replay;
  try {
    replay = replayer.replay(site, step, storage, why);
  } catch (const Error& error) {
    fail(result, error.what());
    return result;
  }
  if (!replay) {
    result.verdict = options.require_all ? Verdict::untested : Verdict::skipped;
    result.reason = why;
    return result;
  }
  const OpClass judged_as = result.judged_as;
  const Tolerance& tolerance = tolerances.op(judged_as, storage, device);
  const char* forbidden = options.our_engine ? "forbidden_weight" : "forbidden_weight_others";
  result = compare_op(*actual, *replay, tolerance, judged_as, tolerances.gate(forbidden));
  result.site = site;
  // Ids that nobody gave are compared with themselves.
  result.trivial = result.trivial || (judged_as == OpClass::token_ids && step.given() == nullptr);
  if (result.reason.empty()) result.reason = why;
  return result;
}

VerdictCounts Judgement::counts() const {
  VerdictCounts counts;
  for (const OpResult& op : ops) counts.add(op.verdict);
  return counts;
}

std::vector<const OpResult*> Judgement::wrong() const {
  std::vector<const OpResult*> list;
  for (const OpResult& op : ops) {
    if (op.verdict != Verdict::passed && op.verdict != Verdict::skipped) list.push_back(&op);
  }
  return list;
}

Judgement judge(const Trace& subject, const Replayer& replayer, const Tolerances& tolerances,
                const JudgeOptions& options) {
  const TraceMetadata& metadata = subject.metadata;
  if (!metadata.weight_hash.empty() && metadata.weight_hash != replayer.weight_hash()) {
    throw Error(fmt::format("recorded on other weights (hash {}…, the model's is {}…)",
                            metadata.weight_hash.substr(0, 12), replayer.weight_hash().substr(0, 12)),
                "trace", "is --model the checkpoint that the engine ran?");
  }
  for (const TraceStep& step : subject.steps) {
    for (const auto& [site, tensor] : step.tensors) {
      if (site.layer >= replayer.config().num_hidden_layers) {
        throw Error(fmt::format("the model has {} layers", replayer.config().num_hidden_layers),
                    site_name(site), "is --model the checkpoint that the engine ran?");
      }
    }
  }
  Judgement judgement;
  for (std::size_t i = 0; i < subject.steps.size(); ++i) {
    const TraceStepView step(subject, i);
    std::optional<TraceStepView> truth;
    if (options.truth != nullptr && i < options.truth->steps.size()) truth.emplace(*options.truth, i);
    for (const OpSite site : replayer.sites()) {
      const int last = options.last_layer < 0 ? site.layer : options.last_layer;
      if (site.layer >= 0 && (site.layer < options.first_layer || site.layer > last)) continue;
      OpResult result =
          judge_op(site, step, replayer, tolerances, metadata.storage, metadata.device, options);
      result.sequence = subject.steps[i].sequence;
      result.step = subject.steps[i].step;
      const TensorView* actual = step.find(site);
      const TensorView* right = truth ? truth->find(site) : nullptr;
      // Scores may hold anything where the mask forbids: their accumulated error shows in probs.
      const bool comparable = actual != nullptr && right != nullptr && actual->shape == right->shape;
      if (comparable && site.probe != Probe::scores) {
        result.accumulated = measure_error(*actual, *right);
      }
      judgement.ops.push_back(std::move(result));
    }
  }
  return judgement;
}

}  // namespace plumbline
