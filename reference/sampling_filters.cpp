#include "reference/sampling_filters.h"

#include <cmath>
#include <limits>

#include "reference/internal/convert_torch.h"
#include "reference/internal/guard_torch.h"

namespace plumbline::reference {
namespace {

constexpr double kUnit = 0x1p-24;  // u of f32
const double kInfinity = std::numeric_limits<double>::infinity();
const double kNan = std::numeric_limits<double>::quiet_NaN();
// A correct engine's probabilities lie within 3.39 of their bound B (docs/tolerances.md), cumulative sums
// within 1.44 of u sqrt(i) c.
constexpr double kProbabilityFactor = 4, kSumFactor = 3;

// The softmax of scores [n], and how far an engine's f32 one may be off, both f64.
struct Softmax {
  at::Tensor probabilities, bound;
};

Softmax softmax_with_bound(const at::Tensor& scores) {
  const at::Tensor kept = at::isfinite(scores);
  const at::Tensor p = at::softmax(scores, -1);
  const at::Tensor distance = at::where(kept, scores.max() - scores, 0.0);
  const double count = static_cast<double>(kept.sum().item<std::int64_t>());
  const at::Tensor constant = (p * distance).sum() + (std::sqrt(count) / 2 + 4);
  return {p, at::where(kept, kUnit * p * (distance + constant) + 0x1p-126, 0.0)};
}

// Multiples of 2^-24: then no sum of them rounds in f32, in any order.
bool are_dyadic(const at::Tensor& probabilities) {
  const at::Tensor scaled = probabilities * 0x1p24;
  return (scaled == at::floor(scaled)).all().item<bool>();
}

bool is_constant(const at::Tensor& values) {
  return (values == values[0]).all().item<bool>();
}

Replay choice(const at::Tensor& scores, const at::Tensor& dropped, const at::Tensor& undecided) {
  Replay replay;
  const at::Tensor expected = scores.masked_fill(dropped, -kInfinity);
  const at::Tensor other = at::where(dropped, scores, -kInfinity);
  replay.expected = to_harness(expected);
  // A place that had been dropped before has no other value.
  replay.alternative = to_harness(at::where(undecided & at::isfinite(scores), other, kNan));
  replay.trivial = is_constant(expected);
  return replay;
}

}  // namespace

Replay replay_top_p(const Tensor& input, double p) {
  return in_torch([&] {
    const auto [sorted, order] =
        at::sort(to_f64_torch(input.view()), /*stable=*/true, /*dim=*/-1, /*descending=*/false);
    const auto [probabilities, bound] = softmax_with_bound(sorted);
    const at::Tensor cumulative = probabilities.cumsum(-1);
    const at::Tensor places = at::arange(1, sorted.size(0) + 1, at::kDouble);
    at::Tensor uncertain =
        kProbabilityFactor * bound.cumsum(-1) + kSumFactor * kUnit * at::sqrt(places) * cumulative + kUnit;
    if (are_dyadic(probabilities)) uncertain = at::zeros_like(uncertain);
    const at::Tensor dropped = cumulative <= 1.0 - p;
    const at::Tensor undecided = (uncertain > 0) & (at::abs(cumulative - (1.0 - p)) <= uncertain);
    for (const at::Tensor& last : {dropped, undecided}) last[-1].fill_(false);  // always kept
    const auto by_id = [&](const at::Tensor& flags) {
      return at::zeros_like(flags).scatter(0, order, flags);
    };
    return choice(to_f64_torch(input.view()), by_id(dropped), by_id(undecided));
  });
}

Replay replay_min_p(const Tensor& input, double min_p) {
  return in_torch([&] {
    const at::Tensor scores = to_f64_torch(input.view());
    const auto [probabilities, bound] = softmax_with_bound(scores);
    const at::Tensor threshold = min_p * probabilities.max();
    const at::Tensor uncertain =
        kProbabilityFactor * (bound + min_p * bound.max()) + kUnit * (probabilities + threshold);
    const at::Tensor largest = scores == scores.max();  // never dropped, whatever is rounded
    const at::Tensor dropped = (probabilities < threshold) & ~largest;
    const at::Tensor undecided = (at::abs(probabilities - threshold) <= uncertain) & ~largest;
    return choice(scores, dropped, undecided);
  });
}

Replay replay_sampling_softmax(const Tensor& input) {
  return in_torch([&] {
    const at::Tensor scores = to_f64_torch(input.view());
    const auto [probabilities, bound] = softmax_with_bound(scores);
    Replay replay;
    replay.expected = to_harness(probabilities);
    replay.bound = to_harness(bound);
    replay.allowed = to_harness(at::isfinite(scores));
    replay.trivial = is_constant(probabilities);
    return replay;
  });
}

}  // namespace plumbline::reference
