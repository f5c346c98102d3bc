// Mistakes that any op can have, made from its right answer alone.
#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "harness/suspects.h"

namespace plumbline {
namespace {

bool is_discrete(OpClass op) {
  return op == OpClass::token_ids || op == OpClass::positions || op == OpClass::mask;
}

// What the general suspects are made from.
struct Right {
  const TensorView& actual;
  const Replay& replay;
  const Tolerance& tolerance;
  OpClass op;
  std::int64_t elements() const { return replay.expected.elements(); }
  double value(std::int64_t i) const { return element_as_f64(replay.expected.view(), i); }
  double bound(std::int64_t i) const {
    return replay.bound.empty() ? 0.0 : replay.bound.values<double>()[static_cast<std::size_t>(i)];
  }
  bool masked(std::int64_t i) const {
    return !replay.allowed.empty() && replay.allowed.values<std::uint8_t>()[static_cast<std::size_t>(i)] == 0;
  }
  double lambda() const { return tolerance.rule == Rule::exact ? 1.0 : tolerance.lambda; }
  // Positions run along the first axis but for scores and weights.
  bool by_rows() const {
    return op != OpClass::scores && op != OpClass::softmax && op != OpClass::inv_freq &&
           replay.expected.shape().rank() > 0;
  }
  std::int64_t rows() const { return replay.expected.shape()[0]; }
  std::int64_t row_elements() const { return elements() / rows(); }
};

// Every element and its bound by a formula of its index.
template <typename Value, typename Bound>
Replay filled(const Right& right, Value value, Bound bound) {
  Replay made;
  made.expected = Tensor(DType::f64, right.replay.expected.shape());
  made.bound = Tensor(DType::f64, right.replay.expected.shape());
  for (std::int64_t i = 0; i < right.elements(); ++i) {
    made.expected.values<double>()[static_cast<std::size_t>(i)] = value(i);
    made.bound.values<double>()[static_cast<std::size_t>(i)] = bound(i);
  }
  return made;
}

Replay scaled_by(const Right& right, double factor) {
  return filled(
      right, [&](std::int64_t i) { return factor * right.value(i); },
      [&](std::int64_t i) {
        const double rounding = 2.0 * half_spacing(factor * right.value(i), DType::f32);
        return std::fabs(factor) * right.bound(i) + rounding / right.lambda();
      });
}

// The factor that brings the right answer nearest to the subject's.
double fitted_factor(const Right& right) {
  double product = 0, square = 0;
  for (std::int64_t i = 0; i < right.elements(); ++i) {
    const double y = element_as_f64(right.actual, i), expected = right.value(i);
    if (right.masked(i) || !std::isfinite(y) || !std::isfinite(expected)) continue;
    product += y * expected;
    square += expected * expected;
  }
  return square > 0 ? product / square : 1;
}

// A factor, or a constant, of its own for each line: what a wrong sum over a row, a wrong weight or a wrong
// bias leaves. Fitted to the subject, so lines of few elements are no evidence.
Replay line_by_line(const Right& right, bool rows, bool factors) {
  constexpr std::int64_t kFewest = 4;
  const Shape& shape = right.replay.expected.shape();
  const std::int64_t width = shape[shape.rank() - 1], lines = rows ? right.elements() / width : width;
  const auto line = [&](std::int64_t i) { return static_cast<std::size_t>(rows ? i / width : i % width); };
  struct Fit {
    double yx = 0, xx = 0, difference = 0;
    std::int64_t count = 0;
  };
  std::vector<Fit> fits(static_cast<std::size_t>(lines));
  for (std::int64_t i = 0; i < right.elements(); ++i) {
    const double y = element_as_f64(right.actual, i), x = right.value(i);
    if (right.masked(i) || !std::isfinite(y) || !std::isfinite(x)) continue;
    Fit& fit = fits[line(i)];
    fit.yx += y * x;
    fit.xx += x * x;
    fit.difference += y - x;
    ++fit.count;
  }
  const auto factor = [&](std::int64_t i) {
    const Fit& fit = fits[line(i)];
    return factors && fit.xx > 0 ? fit.yx / fit.xx : 1.0;
  };
  const auto constant = [&](std::int64_t i) {
    const Fit& fit = fits[line(i)];
    return !factors && fit.count > 0 ? fit.difference / static_cast<double>(fit.count) : 0.0;
  };
  Replay made = filled(
      right, [&](std::int64_t i) { return factor(i) * right.value(i) + constant(i); },
      [&](std::int64_t i) {
        const double y = factor(i) * right.value(i) + constant(i);
        return std::max(1.0, std::fabs(factor(i))) * right.bound(i) +
               2.0 * half_spacing(y, DType::f32) / right.lambda();
      });
  made.allowed = Tensor(DType::boolean, shape);
  for (std::int64_t i = 0; i < right.elements(); ++i) {
    made.allowed.values<std::uint8_t>()[static_cast<std::size_t>(i)] = fits[line(i)].count >= kFewest ? 1 : 0;
  }
  return made;
}

double rounded(double value, DType dtype) {
  if (value == 0 || !std::isfinite(value)) return value;
  const double spacing = 2.0 * half_spacing(value, dtype);
  const double nearest = std::nearbyint(value / spacing) * spacing;
  constexpr double kF16Overflow = 65520;
  const bool overflows = dtype == DType::f16 && std::fabs(value) >= kF16Overflow;
  return overflows ? std::copysign(std::numeric_limits<double>::infinity(), value) : nearest;
}

// Where the right answer lies within its gate of the middle between two values, either is one.
Replay rounded_to_half(const Right& right, DType dtype) {
  return filled(
      right, [&](std::int64_t i) { return rounded(right.value(i), dtype); },
      [&](std::int64_t i) {
        const double gate = right.lambda() * right.bound(i), y = right.value(i);
        const double reach = rounded(y + gate, dtype) - rounded(y - gate, dtype);
        return reach > 0 && std::isfinite(reach) ? reach / right.lambda() : 0.0;
      });
}

// Row i has the right answer of row source(i); rows without one are no evidence.
template <typename Source>
Replay rows_from(const Right& right, Source source) {
  const std::int64_t rows = right.rows(), size = right.row_elements();
  const auto from = [&](std::int64_t i) {
    return std::clamp<std::int64_t>(source(i / size), 0, rows - 1) * size + i % size;
  };
  Replay made = filled(
      right, [&](std::int64_t i) { return right.value(from(i)); },
      [&](std::int64_t i) { return right.bound(from(i)); });
  made.allowed = Tensor(DType::boolean, right.replay.expected.shape());
  for (std::int64_t i = 0; i < right.elements(); ++i) {
    const std::int64_t row = source(i / size);
    made.allowed.values<std::uint8_t>()[static_cast<std::size_t>(i)] = row >= 0 && row < rows ? 1 : 0;
  }
  return made;
}

// How many of the last rows the subject has as copies of the one before them.
std::int64_t copies_at_end(const Right& right) {
  const std::int64_t rows = right.rows(), size = right.row_elements();
  const auto same = [&](std::int64_t row) {
    for (std::int64_t i = row * size; i < (row + 1) * size; ++i) {
      if (!(element_as_f64(right.actual, i) == element_as_f64(right.actual, i - size))) return false;
    }
    return true;
  };
  std::int64_t count = 0;
  while (count + 1 < rows && same(rows - 1 - count)) ++count;
  return count;
}

// How many of the last lines along the first or the last axis the subject left at zero.
std::int64_t zeros_at_end(const Right& right, bool rows) {
  const Shape& shape = right.replay.expected.shape();
  const std::int64_t lines = rows ? shape[0] : shape[shape.rank() - 1];
  const std::int64_t size = rows ? right.row_elements() : 1;
  std::vector<bool> holds(static_cast<std::size_t>(lines), false);
  for (std::int64_t i = 0; i < right.elements(); ++i) {
    const double y = element_as_f64(right.actual, i);
    if (!(y == 0) && !right.masked(i)) holds[static_cast<std::size_t>(rows ? i / size : i % lines)] = true;
  }
  const auto last = std::find(holds.rbegin(), holds.rend(), true);
  return last - holds.rbegin();
}

Replay zero_at_end(const Right& right, bool rows, std::int64_t count) {
  const Shape& shape = right.replay.expected.shape();
  const std::int64_t lines = rows ? shape[0] : shape[shape.rank() - 1];
  const auto computed = [&](std::int64_t i) {
    return (rows ? i / right.row_elements() : i % lines) < lines - count;
  };
  return filled(
      right, [&](std::int64_t i) { return computed(i) ? right.value(i) : 0.0; },
      [&](std::int64_t i) { return computed(i) ? right.bound(i) : 0.0; });
}

// One that the factory's arguments stay with; what it reads must outlive it.
template <typename Make>
Suspect suspect(std::string name, std::string meaning, Make make, bool fitted = false) {
  return {std::move(name), std::move(meaning), [make] { return std::optional<Replay>(make()); }, fitted};
}

void add_ends(const Right& right, std::vector<Suspect>& list) {
  const Shape& shape = right.replay.expected.shape();
  const bool scores = right.op == OpClass::scores;  // whose last axis is the keys
  if ((!right.by_rows() && !scores) || shape.rank() < 2) return;
  for (const bool rows : {true, false}) {
    if (rows && scores) continue;
    const std::int64_t count = zeros_at_end(right, rows);
    const std::int64_t lines = rows ? shape[0] : shape[shape.rank() - 1];
    if (count == 0 || count == lines) continue;
    list.push_back(
        suspect(fmt::format("last {} {} left at zero", count, rows ? "rows" : (scores ? "keys" : "outputs")),
                "a tile at the end is not computed: look at the loop's end for sizes that are no "
                "multiple of the tile",
                [=] { return zero_at_end(right, rows, count); }));
  }
}

void add_rows(const Right& right, std::vector<Suspect>& list) {
  if (!right.by_rows() || right.rows() < 2) return;
  list.push_back(suspect("rows one position late", "each row holds the answer of the row before",
                         [=] { return rows_from(right, [](std::int64_t row) { return row - 1; }); }));
  list.push_back(suspect("rows one position early", "each row holds the answer of the row after",
                         [=] { return rows_from(right, [](std::int64_t row) { return row + 1; }); }));
  list.push_back(suspect("first row in every place", "the row's index is not used, or was captured once",
                         [=] { return rows_from(right, [](std::int64_t) { return std::int64_t{0}; }); }));
  const std::int64_t copies = copies_at_end(right), last = right.rows() - 1 - copies;
  if (copies == 0 || last == 0) return;
  list.push_back(
      suspect(copies == 1 ? "last row repeats the one before"
                          : fmt::format("last {} rows repeat the one before", copies),
              "a tile of rows at the end is not computed, or its index is clamped: look at the loop's end",
              [=] { return rows_from(right, [=](std::int64_t row) { return std::min(row, last); }); }));
}

}  // namespace

std::vector<Suspect> general_suspects(const TensorView& actual, const Replay& right,
                                      const Tolerance& tolerance, OpClass op) {
  std::vector<Suspect> list;
  if (!(actual.shape == right.expected.shape()) || actual.elements() == 0) return list;
  const Right from{actual, right, tolerance, op};
  if (!is_discrete(op)) {
    const bool weights = op == OpClass::softmax;
    if (actual.dtype != DType::bf16)
      list.push_back(suspect(weights ? "bf16 probabilities" : "output rounded to bf16",
                             "the result is right, then stored with 8 bits of precision",
                             [=] { return rounded_to_half(from, DType::bf16); }));
    if (actual.dtype != DType::f16)
      list.push_back(suspect(weights ? "f16 probabilities" : "output rounded to f16",
                             "the result is right, then stored with 11 bits of precision",
                             [=] { return rounded_to_half(from, DType::f16); }));
  }
  add_rows(from, list);
  add_ends(from, list);
  list.push_back(
      suspect("left at zero", "the output was never written", [=] { return scaled_by(from, 0.0); }));
  if (is_discrete(op)) return list;
  list.push_back(
      suspect("sign flipped", "every element has the other sign", [=] { return scaled_by(from, -1.0); }));
  const double factor = fitted_factor(from);
  list.push_back(suspect(
      fmt::format("constant factor {:.4g}", factor),
      "every element is the right one times a constant: look for a scale",
      [=] { return scaled_by(from, factor); }, true));
  if (right.expected.shape().rank() < 2) return list;
  list.push_back(suspect(
      "each row times a factor of its own",
      "something that is summed over the row is wrong: a norm's mean of squares, a softmax's "
      "denominator",
      [=] { return line_by_line(from, true, true); }, true));
  if (!from.by_rows()) return list;
  list.push_back(suspect(
      "each channel times a factor of its own", "a weight by channel is wrong",
      [=] { return line_by_line(from, false, true); }, true));
  list.push_back(suspect(
      "each channel off by a constant of its own", "a bias is wrong",
      [=] { return line_by_line(from, false, false); }, true));
  return list;
}

}  // namespace plumbline
