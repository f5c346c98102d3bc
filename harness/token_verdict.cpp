#include "harness/token_verdict.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "harness/dtype.h"

namespace plumbline {
namespace {

constexpr std::size_t kTop = 50, kFew = 5;

struct Entry {
  double logit;
  std::int64_t id;
};

// Whether a comes before b: the larger logit, of equal ones the lower id.
bool before(const Entry& a, const Entry& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

// The best 50 ids, the best first. A heap whose top is the worst of those kept: most logits are turned away
// by one comparison.
std::vector<Entry> best_of(std::span<const double> row) {
  std::vector<Entry> best;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const Entry entry{row[i], static_cast<std::int64_t>(i)};
    if (best.size() == kTop) {
      if (!before(entry, best.front())) continue;
      std::pop_heap(best.begin(), best.end(), before);
      best.pop_back();
    }
    best.push_back(entry);
    std::push_heap(best.begin(), best.end(), before);
  }
  std::sort_heap(best.begin(), best.end(), before);
  return best;
}

int shared(std::span<const Entry> a, std::span<const Entry> b) {
  return static_cast<int>(std::ranges::count_if(
      a, [&](const Entry& each) { return std::ranges::find(b, each.id, &Entry::id) != b.end(); }));
}

double log_sum_exp(std::span<const double> row, double top) {
  double sum = 0;
  for (const double logit : row) sum += std::exp(logit - top);
  return top + std::log(sum);
}

bool all_finite(std::span<const double> row) {
  return std::ranges::all_of(row, [](double logit) { return std::isfinite(logit); });
}

TokenVerdict verdict_of(const TokenRow& row) {
  const bool within = row.max_abs <= row.ceiling;
  if (row.actual == row.expected) return within ? TokenVerdict::match : TokenVerdict::drift;
  return row.gap <= 2 * row.ceiling ? TokenVerdict::tie_flip : TokenVerdict::wrong;
}

}  // namespace

TokenRow judge_token(const TensorView& actual, const TensorView& expected, double ceiling) {
  require(actual.shape == expected.shape && actual.shape.rank() == 1 && actual.shape[0] > 0,
          "judge_token: two rows of equal length");
  const Tensor x64 = to_f64(actual), y64 = to_f64(expected);
  const std::span<const double> x = x64.values<double>(), y = y64.values<double>();
  TokenRow row;
  row.ceiling = ceiling;
  if (!all_finite(x) || !all_finite(y)) {
    row.kl = row.max_abs = row.gap = std::numeric_limits<double>::infinity();
    return row;
  }
  const std::vector<Entry> best_x = best_of(x), best_y = best_of(y);
  row.actual = best_x[0].id;
  row.expected = best_y[0].id;
  const double top = best_y[0].logit;
  if (best_y.size() > 1) row.margin = top - best_y[1].logit;
  row.margin_ulp = row.margin / (2 * half_spacing(top, DType::f32));
  row.gap = top - y[static_cast<std::size_t>(row.actual)];
  const std::size_t few = std::min(kFew, best_y.size());
  row.top5_of = static_cast<int>(few);
  row.top50_of = static_cast<int>(best_y.size());
  row.top5_shared = shared(std::span(best_x).first(few), std::span(best_y).first(few));
  row.top50_shared = shared(best_x, best_y);
  const double zx = log_sum_exp(x, best_x[0].logit), zy = log_sum_exp(y, top);
  for (std::size_t i = 0; i < y.size(); ++i) {
    row.max_abs = std::max(row.max_abs, std::fabs(x[i] - y[i]));
    const double p = std::exp(y[i] - zy);
    if (p > 0) row.kl += p * ((y[i] - zy) - (x[i] - zx));
  }
  row.verdict = verdict_of(row);
  return row;
}

TokenSummary summarize(std::span<const TokenRow> rows) {
  TokenSummary sum;
  std::int64_t top5 = 0, top5_of = 0, top50 = 0, top50_of = 0;
  for (const TokenRow& row : rows) {
    sum.match += row.verdict == TokenVerdict::match;
    sum.drift += row.verdict == TokenVerdict::drift;
    sum.tie_flip += row.verdict == TokenVerdict::tie_flip;
    sum.wrong += row.verdict == TokenVerdict::wrong;
    if (row.verdict == TokenVerdict::wrong && sum.first_wrong < 0) sum.first_wrong = sum.rows;
    if (row.verdict == TokenVerdict::tie_flip)
      sum.largest_flip_ulp = std::max(sum.largest_flip_ulp, row.margin_ulp);
    if (sum.rows == 0 || row.margin_ulp < sum.least_margin_ulp) sum.least_margin_ulp = row.margin_ulp;
    sum.largest_kl = std::max(sum.largest_kl, row.kl);
    sum.mean_kl += row.kl / static_cast<double>(rows.size());
    top5 += row.top5_shared;
    top5_of += row.top5_of;
    top50 += row.top50_shared;
    top50_of += row.top50_of;
    ++sum.rows;
  }
  if (top5_of > 0) sum.top5 = static_cast<double>(top5) / static_cast<double>(top5_of);
  if (top50_of > 0) sum.top50 = static_cast<double>(top50) / static_cast<double>(top50_of);
  return sum;
}

}  // namespace plumbline
