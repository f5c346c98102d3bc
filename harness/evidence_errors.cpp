// Errors of tensors as tables: along a sequence, by prompt, along the axes of one op.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "harness/evidence.h"
#include "harness/statistics.h"

namespace plumbline {
namespace {

constexpr std::size_t kPoints = 512;  // of a curve: more are no more to be seen

// The targets of the project's contract for final logits; shown, never judged here.
constexpr double kTargetMax = 1e-4, kTargetMean = 1e-5, kTargetR = 0.1;

// A bar of up to 20 blocks, as a picture that any Markdown viewer shows.
std::string bar(double value, double largest) {
  const bool drawable = std::isfinite(value) && std::isfinite(largest) && value > 0;
  const int blocks = drawable ? static_cast<int>(std::lround(20 * value / largest)) : 0;
  std::string text;
  for (int i = 0; i < blocks; ++i) text += "█";
  return text;
}

std::string p_text(double p) {
  return p < 1e-4 ? "< 1e-4" : fmt::format("{:.4f}", p);
}

std::string stretch_name(std::int64_t first, std::int64_t last) {
  return last - first == 1 ? std::to_string(first) : fmt::format("{}–{}", first, last - 1);
}

// The errors of rows [tokens, n], one after the other.
struct RowErrors {
  std::vector<double> max_abs, mean_abs;
};

RowErrors row_errors(const TensorView& actual, const TensorView& expected) {
  RowErrors errors;
  for (std::int64_t row = 0; row < actual.shape[0]; ++row) {
    const ErrorStats stats = measure_error(actual.rows(row, row + 1), expected.rows(row, row + 1));
    errors.max_abs.push_back(stats.max_abs);
    errors.mean_abs.push_back(stats.mean_abs);
  }
  return errors;
}

// The largest value of each stretch, at its first index.
Series thinned(const std::string& name, const std::vector<double>& values) {
  Series series{name, {}, {}};
  const std::size_t stretches = std::min(kPoints, values.size());
  for (std::size_t i = 0; i < stretches; ++i) {
    const std::size_t first = i * values.size() / stretches, last = (i + 1) * values.size() / stretches;
    series.x.push_back(static_cast<double>(first));
    series.y.push_back(*std::max_element(values.begin() + static_cast<std::ptrdiff_t>(first),
                                         values.begin() + static_cast<std::ptrdiff_t>(last)));
  }
  return series;
}

}  // namespace

Evidence error_by_position(const TensorView& actual, const TensorView& expected) {
  require(actual.shape == expected.shape && actual.shape.rank() == 2, "error_by_position: [tokens, n] twice");
  constexpr std::int64_t kStretches = 24;
  const std::int64_t tokens = actual.shape[0];
  const RowErrors rows = row_errors(actual, expected);
  const std::vector<double>& errors = rows.max_abs;
  const Correlation with_position = correlate_with_index(errors);
  const double most = errors.empty() ? 0 : *std::max_element(errors.begin(), errors.end());
  Evidence table{fmt::format("error by position (r {:.2f}, n {}, p {})", with_position.r, with_position.n,
                             p_text(with_position.p)),
                 {"positions", "max abs", ""},
                 {}};
  const std::int64_t stretches = std::min(kStretches, tokens);
  for (std::int64_t i = 0; i < stretches; ++i) {
    const std::int64_t first = i * tokens / stretches, last = (i + 1) * tokens / stretches;
    const double error = *std::max_element(errors.begin() + first, errors.begin() + last);
    table.rows.push_back({stretch_name(first, last), fmt::format("{:.2e}", error), bar(error, most)});
  }
  if (tokens < 2) return table;
  Picture picture;
  picture.name = "error_by_position";
  picture.title = fmt::format("Accumulated error of the final logits by position (r {:.2f}, p {})",
                              with_position.r, p_text(with_position.p));
  picture.x_label = "position (tokens)";
  picture.y_label = "absolute error of a row of logits";
  picture.curves = {thinned("max abs", errors), thinned("mean abs", rows.mean_abs)};
  table.picture = std::move(picture);
  return table;
}

Evidence error_by_prompt(std::vector<LogitsOfPrompt> prompts) {
  std::ranges::stable_sort(prompts, {}, [](const LogitsOfPrompt& each) { return each.actual.shape[0]; });
  Evidence table{"accumulated error by length, beside the targets: shown, not judged here",
                 {"prompt", "tokens", "max abs (target < 1e-4)", "mean abs (target < 1e-5)",
                  "r of error with position (target < 0.1)", "n", "p", "largest logit", "beyond its target"},
                 {}};
  std::vector<double> lengths, errors;
  for (const LogitsOfPrompt& each : prompts) {
    const ErrorStats stats = measure_error(each.actual, each.expected);
    const Correlation r = correlate_with_index(row_errors(each.actual, each.expected).max_abs);
    lengths.push_back(static_cast<double>(each.actual.shape[0]));
    errors.push_back(stats.max_abs);
    std::vector<std::string> beyond;
    if (!(stats.max_abs < kTargetMax)) beyond.emplace_back("max abs");
    if (!(stats.mean_abs < kTargetMean)) beyond.emplace_back("mean abs");
    if (!(r.r < kTargetR)) beyond.emplace_back("r");
    table.rows.push_back({each.prompt, std::to_string(each.actual.shape[0]),
                          fmt::format("{:.2e}", stats.max_abs), fmt::format("{:.2e}", stats.mean_abs),
                          r.n < 3 ? "–" : fmt::format("{:.2f}", r.r), std::to_string(r.n),
                          r.n < 3 ? "–" : p_text(r.p), fmt::format("{:.1f}", stats.max_abs_expected),
                          beyond.empty() ? "–" : fmt::format("{}", fmt::join(beyond, ", "))});
  }
  if (const Correlation r = correlate(lengths, errors); r.n >= 3) {
    table.title += fmt::format(" (r of max abs with length {:.2f}, n {}, p {})", r.r, r.n, p_text(r.p));
  }
  return table;
}

Evidence error_along_axes(const std::string& title, const AxisNames& names, const TensorView& actual,
                          const TensorView& expected, const TensorView& allowed) {
  Evidence table{title,
                 {"along", "n", "largest RMS", "at", "median RMS", "of all squared error there",
                  "r with the index", "p"},
                 {}};
  const std::vector<AxisErrors> axes = error_by_axis(actual, expected, allowed);
  require(names.size() == axes.size(), "error_along_axes: a name for each axis");
  for (std::size_t axis = 0; axis < axes.size(); ++axis) {
    std::vector<double> rms;
    double squares = 0;
    for (std::size_t i = 0; i < axes[axis].squares.size(); ++i) {
      rms.push_back(axes[axis].rms(static_cast<std::int64_t>(i)));
      squares += axes[axis].squares[i];
    }
    if (rms.size() < 2) continue;  // one index is no axis
    const auto most = static_cast<std::size_t>(std::max_element(rms.begin(), rms.end()) - rms.begin());
    const Correlation r = correlate_with_index(rms);
    table.rows.push_back(
        {names[axis], std::to_string(rms.size()), fmt::format("{:.2e}", rms[most]), std::to_string(most),
         fmt::format("{:.2e}", median(rms)),
         squares > 0 ? fmt::format("{:.0f} %", 100 * axes[axis].squares[most] / squares) : "–",
         fmt::format("{:.2f}", r.r), p_text(r.p)});
  }
  return table;
}

}  // namespace plumbline
