// One output against the replay of its own inputs.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include <fmt/format.h>

#include "harness/gate.h"
#include "harness/judge.h"

namespace plumbline {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t kSlopeOutputs = 256;      // below, the slope's own scatter is too large
constexpr std::int64_t kDifferingOutputs = 480;  // below, a share of differing elements is chance

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

constexpr std::int64_t kBlock = 2048;  // elements at a time: large tensors are not copied whole

// f64 values of part of a tensor: the tensor's own where it is f64, else converted.
class Values {
 public:
  explicit Values(const TensorView& view) : view_(view) {}
  std::span<const double> read(std::int64_t begin, std::int64_t count) {
    if (view_.dtype == DType::f64 && view_.is_contiguous()) {
      return {view_.as<double>() + begin, static_cast<std::size_t>(count)};
    }
    const std::span<double> part(buffer_.data(), static_cast<std::size_t>(count));
    read_f64(view_, begin, part);
    return part;
  }

 private:
  const TensorView view_;
  std::array<double, kBlock> buffer_;
};

// z = |sum e y| / sqrt(sum (B y)^2): the error as a common factor of the output.
struct Slope {
  double numerator = 0, denominator = 0;
  std::int64_t outputs = 0;
  void add(double actual, double expected, double bound) {
    const double scaled = bound * expected;
    numerator += (actual - expected) * expected;
    denominator += scaled * scaled;
    ++outputs;
  }
  double z() const {
    if (outputs < kSlopeOutputs || denominator == 0) return 0;
    return std::fabs(numerator) / std::sqrt(denominator);
  }
};

// Holds every element against its gate. What is wrong is written into the result.
class Comparison {
 public:
  Comparison(const TensorView& actual, const Replay& replay, const Tolerance& tolerance, OpClass op,
             double forbidden_weight, OpResult& result)
      : actual_(actual),
        replay_(replay),
        tolerance_(tolerance),
        op_(op),
        forbidden_weight_(forbidden_weight),
        bounded_(tolerance.rule != Rule::exact),
        result_(result),
        shape_(replay.expected.shape()),
        bad_(shape_, op),
        gates_(replay.expected.view(), bounded_ ? replay.bound.values<double>() : std::span<const double>{},
               bounded_ ? replay.roundings.values<double>() : std::span<const double>{}, tolerance,
               actual.dtype),
        row_elements_(shape_.rank() > 0 ? shape_.elements() / shape_[0] : 1) {}

  void run() {
    Values actual(actual_), expected(replay_.expected.view());
    const std::span<const double> bound = replay_.bound.values<double>();
    const std::span<const std::uint8_t> allowed = replay_.allowed.values<std::uint8_t>();
    for (std::int64_t begin = 0; begin < shape_.elements(); begin += kBlock) {
      const std::int64_t count = std::min(kBlock, shape_.elements() - begin);
      const std::span<const double> y = actual.read(begin, count), y64 = expected.read(begin, count);
      for (std::int64_t i = 0; i < count; ++i) {
        const auto index = static_cast<std::size_t>(begin + i), here = static_cast<std::size_t>(i);
        const double first = y64[here];
        if (begin + i == 0) first_expected_ = first;
        constant_ = constant_ && first == first_expected_;
        if (!allowed.empty() && allowed[index] == 0) {
          forbidden(begin + i, y[here], first);
        } else {
          element(begin + i, y[here], y64[here], bounded_ ? bound[index] : 0.0);
        }
      }
    }
    bad_.store(result_);
  }

  // Of the elements that count, the share that differs from the emulated output; 0 where there are too few.
  double differing() const {
    const std::span<const double> emulated = replay_.emulated.values<double>();
    const std::span<const std::uint8_t> allowed = replay_.allowed.values<std::uint8_t>();
    std::int64_t counted = 0, different = 0;
    Values actual(actual_);
    for (std::int64_t begin = 0; begin < static_cast<std::int64_t>(emulated.size()); begin += kBlock) {
      const std::int64_t count = std::min(kBlock, shape_.elements() - begin);
      const std::span<const double> y = actual.read(begin, count);
      for (std::int64_t i = 0; i < count; ++i) {
        const auto index = static_cast<std::size_t>(begin + i);
        if (!allowed.empty() && allowed[index] == 0) continue;
        if (!std::isfinite(emulated[index])) continue;
        ++counted;
        different += y[static_cast<std::size_t>(i)] != emulated[index] ? 1 : 0;
      }
    }
    return counted < kDifferingOutputs ? 0.0 : static_cast<double>(different) / static_cast<double>(counted);
  }
  double slope() const { return slope_.z(); }
  std::int64_t unjudged() const { return unjudged_; }  // places of which an overflow leaves nothing to say
  bool constant() const { return constant_; }          // all expected values are the same number

 private:
  void forbidden(std::int64_t index, double y, double y64) {
    if (op_ == OpClass::scores) return;                 // a score may be anything where the mask forbids
    if (std::isnan(y) && gates_.unknown(index, y64)) {  // a softmax spoils its whole row
      ++unjudged_;
      return;
    }
    const bool ok = std::isfinite(y) && std::fabs(y) <= forbidden_weight_;
    if (ok) return;
    bad_.mark(index);
    keep_worst(result_, shape_, index, std::isfinite(y) ? std::fabs(y) : kInfinity, forbidden_weight_);
    fail(result_,
         fmt::format("weight {:.2e} at {}, which the mask forbids", y, place_of(shape_, index).to_string()));
  }

  void element(std::int64_t index, double y, double y64, double bound) {
    if (bounded_ && tolerance_.largest_slope && is_distinct(index)) slope_.add(y, y64, bound);
    if (y == y64) {  // also the same infinity
      keep_worst(result_, shape_, index, 0.0, gates_.at(index, y64));
      return;
    }
    if (is_alternative(index, y)) {
      ++result_.tie_flips;
      return;
    }
    if (std::isinf(y) && std::signbit(y) == std::signbit(y64) && gates_.may_overflow(index, y64)) {
      keep_worst(result_, shape_, index, 0.0, 0.0);
      return;
    }
    if (gates_.unknown(index, y64) && (bounded_ || std::isnan(y))) {
      unjudged_ += is_emulated(index, y) ? 0 : 1;
      return;
    }
    if (!std::isfinite(y) || !std::isfinite(y64)) {
      bad_.mark(index);
      keep_worst(result_, shape_, index, kInfinity, 0.0);
      fail(result_, fmt::format("{} at {} where {} is right", y, place_of(shape_, index).to_string(), y64));
      return;
    }
    const double error = std::fabs(y - y64), allowed = gates_.at(index, y64);
    keep_worst(result_, shape_, index, error, allowed);
    const bool ok = std::isfinite(allowed) && error <= allowed;
    if (!ok) {
      bad_.mark(index);
      fail(result_, bounded_ ? "beyond its bound" : "not exact");
    }
  }

  bool is_alternative(std::int64_t index, double y) const {
    return !replay_.alternative.empty() &&
           replay_.alternative.values<double>()[static_cast<std::size_t>(index)] == y;
  }

  bool is_emulated(std::int64_t index, double y) const {
    return !replay_.emulated.empty() &&
           replay_.emulated.values<double>()[static_cast<std::size_t>(index)] == y;
  }

  bool is_distinct(std::int64_t index) const {
    return replay_.distinct_row.empty() ||
           replay_.distinct_row[static_cast<std::size_t>(index / row_elements_)];
  }

  const TensorView actual_;
  const Replay& replay_;
  const Tolerance& tolerance_;
  const OpClass op_;
  const double forbidden_weight_;
  const bool bounded_;
  OpResult& result_;
  const Shape shape_;
  BadRows bad_;
  const Gates gates_;
  const std::int64_t row_elements_;
  Slope slope_;
  std::int64_t unjudged_ = 0;
  double first_expected_ = 0;
  bool constant_ = true;
};

}  // namespace

Place place_of(const Shape& shape, std::int64_t logical_index) {
  Place place;
  place.index.assign(static_cast<std::size_t>(shape.rank()), 0);
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    place.index[static_cast<std::size_t>(axis)] = logical_index % shape[axis];
    logical_index /= shape[axis];
  }
  return place;
}

std::string Place::to_string() const {
  return fmt::format("[{}]", fmt::join(index, ", "));
}

OpResult compare_op(const TensorView& actual, const Replay& replay, const Tolerance& usual, OpClass op,
                    double forbidden_weight) {
  const Tolerance tolerance = tolerance_for(replay, usual);
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

  for (const Tensor* limit : {&replay.roundings, &replay.emulated}) {
    require(limit->empty() || limit->shape() == shape, "replay: roundings have another shape");
  }
  require(replay.allowed.empty() || replay.allowed.shape() == shape, "replay: allowed has another shape");
  const TensorView allowed = replay.allowed.empty() ? TensorView{} : replay.allowed.view();
  result.local = measure_error(actual, replay.expected.view(), allowed);
  Comparison comparison(actual, replay, tolerance, op, forbidden_weight, result);
  comparison.run();
  if (result.verdict == Verdict::failed) return result;
  if (result.local.compared == 0 && comparison.unjudged() == 0) {
    result.reason = "no place that counts";
    return result;  // untested
  }
  if (bounded && tolerance.largest_slope) {
    result.slope = comparison.slope();
    const bool ok = result.slope <= *tolerance.largest_slope;
    if (!ok) {
      fail(result, fmt::format("the error follows the output: slope z {:.1f} (gate {})", result.slope,
                               *tolerance.largest_slope));
      return result;
    }
  }
  if (tolerance.largest_differing && !replay.emulated.empty()) {
    result.differing = comparison.differing();
    const bool ok = result.differing <= *tolerance.largest_differing;
    if (!ok) {
      fail(result, fmt::format("{:.1f} % of the elements are not what its roundings give (gate {:.1f} %)",
                               100 * result.differing, 100 * *tolerance.largest_differing));
      return result;
    }
  }
  if (!discrete(op) && !replay.trivial && actual.elements() > 1 && comparison.constant()) {
    result.verdict = Verdict::mistrusted;
    result.reason = "the right output is constant: agreement proves nothing";
    return result;
  }
  if (comparison.unjudged() > 0) {
    result.verdict = Verdict::skipped;
    result.reason =
        fmt::format("{} places cannot be judged: a half type overflowed before them", comparison.unjudged());
    return result;
  }
  if (result.tie_flips > 0) {
    result.verdict = Verdict::skipped;
    result.reason =
        fmt::format("tie-flip: {} places within rounding of the edge fell the other way", result.tie_flips);
    return result;
  }
  result.verdict = Verdict::passed;
  return result;
}

}  // namespace plumbline
