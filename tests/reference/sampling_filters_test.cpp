// Where rounding alone may decide, the other choice is a tie-flip; one place further is a failure.
#include "reference/sampling_filters.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <catch2/catch.hpp>

#include "harness/judge.h"
#include "tests/reference/fixtures.h"

using namespace plumbline;

namespace {

const double kDropped = -std::numeric_limits<double>::infinity();

Tensor scores_of(const std::vector<float>& scores) {
  return Tensor::from<float>(DType::f32, Shape{static_cast<std::int64_t>(scores.size())}, std::span(scores));
}

// Scores of 1000 tokens, shuffled; no two alike.
std::vector<float> thousand() {
  std::vector<float> scores(1000);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    scores[i] = 0.004f * static_cast<float>((i * 619) % 1000);
  }
  return scores;
}

// Ids in the order in which top-p drops them.
std::vector<std::size_t> ascending(const std::vector<float>& scores) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return scores[i]; });
  return order;
}

// Sums of the softmax in that order, f64.
std::vector<double> sums(const std::vector<float>& scores) {
  const double largest = *std::ranges::max_element(scores);
  std::vector<double> cumulative;
  double sum = 0;
  for (const std::size_t i : ascending(scores)) {
    cumulative.push_back(sum += std::exp(static_cast<double>(scores[i]) - largest));
  }
  for (double& each : cumulative) each /= sum;
  return cumulative;
}

// What an engine gives that drops the first `dropped` of the order.
Tensor without_first(const std::vector<float>& scores, std::size_t dropped) {
  std::vector<float> out = scores;
  const std::vector<std::size_t> order = ascending(scores);
  for (const std::size_t i : std::span(order).first(dropped)) out[i] = static_cast<float>(kDropped);
  return scores_of(out);
}

OpResult judged(const Tensor& actual, const Replay& replay, OpClass op) {
  return compare_op(actual.view(), replay, Tolerance{}, op, 0);
}
Verdict verdict_of(const Tensor& actual, const Replay& replay, OpClass op = OpClass::top_p) {
  return judged(actual, replay, op).verdict;
}

std::int64_t undecided(const Replay& replay) {
  const std::span<const double> places = replay.alternative.values<double>();
  return std::ranges::count_if(places, [](double value) { return !std::isnan(value); });
}

}  // namespace

TEST_CASE("top-p replay: a kept set moved by one at an edge within rounding is a tie-flip, by two a failure",
          "[reference][sampler]") {
  const std::vector<float> scores = thousand();
  const std::vector<double> cumulative = sums(scores);
  constexpr std::size_t kAt = 600;  // the edge lies on the sum of the first 601
  for (const double off : {-1e-9, 1e-9}) {
    const Replay replay = reference::replay_top_p(scores_of(scores), 1 - (cumulative[kAt] + off));
    const std::size_t right = off > 0 ? kAt + 1 : kAt;  // the sum is at most 1 - p: dropped
    const std::size_t other = off > 0 ? kAt : kAt + 1;
    CHECK(undecided(replay) == 1);
    CHECK(verdict_of(without_first(scores, right), replay) == Verdict::passed);
    const OpResult flipped = judged(without_first(scores, other), replay, OpClass::top_p);
    CHECK(flipped.verdict == Verdict::skipped);
    CHECK(flipped.tie_flips == 1);
    CHECK(verdict_of(without_first(scores, kAt - 1), replay) == Verdict::failed);
    CHECK(verdict_of(without_first(scores, kAt + 2), replay) == Verdict::failed);
  }
}

TEST_CASE("top-p replay: an edge between two sums is decided", "[reference][sampler]") {
  const std::vector<float> scores = thousand();
  const std::vector<double> cumulative = sums(scores);
  const Replay replay =
      reference::replay_top_p(scores_of(scores), 1 - (cumulative[600] + cumulative[601]) / 2);
  CHECK(undecided(replay) == 0);
  CHECK(verdict_of(without_first(scores, 601), replay) == Verdict::passed);
  CHECK(verdict_of(without_first(scores, 600), replay) == Verdict::failed);
  CHECK(verdict_of(without_first(scores, 602), replay) == Verdict::failed);
}

TEST_CASE("top-p and min-p replays: an edge is open as far as rounding goes, and no further",
          "[reference][sampler]") {
  const std::vector<float> scores = thousand();
  const double sum = sums(scores)[600];  // 0.19, certain to 1.9e-6
  const auto open_places = [&](double off) {
    return undecided(reference::replay_top_p(scores_of(scores), 1 - (sum + off)));
  };
  const std::vector<std::size_t> order = ascending(scores);
  const double ratio = std::exp(static_cast<double>(scores[order[600]]) - scores[order.back()]);
  const auto open_at = [&](double factor) {
    return undecided(reference::replay_min_p(scores_of(scores), ratio * factor));
  };
  for (const double sign : {-1.0, 1.0}) {
    CHECK(open_places(sign * 1e-6) == 1);
    CHECK(open_places(sign * 4e-6) == 0);
    CHECK(open_at(1 + sign * 5e-6) == 1);
    CHECK(open_at(1 + sign * 2e-5) == 0);
  }
}

TEST_CASE("top-p replay: a kept value that was changed is wrong, also where the choice is open",
          "[reference][sampler]") {
  const std::vector<float> scores = thousand();
  const Replay replay = reference::replay_top_p(scores_of(scores), 1 - sums(scores)[600]);
  Tensor changed = without_first(scores, 601);
  const std::size_t open = ascending(scores)[600];
  changed.values<float>()[open] = std::nextafter(scores[open], 10.0f);
  CHECK(verdict_of(changed, replay) == Verdict::failed);
}

TEST_CASE("top-p replay: multiples of 2^-24 have exact sums, and no other choice", "[reference][sampler]") {
  const std::vector<float> eight(8, 0.0f);
  for (const double p : {0.5, 0.125, 0.875, std::nextafter(0.5, 0), std::nextafter(0.5, 1)}) {
    const Replay replay = reference::replay_top_p(scores_of(eight), p);
    CHECK(undecided(replay) == 0);
    const std::size_t right = p > 0.5 ? (p > 0.8 ? 1 : 3) : p < 0.4 ? 7 : 4;
    CHECK(verdict_of(without_first(eight, right), replay) == Verdict::passed);
    CHECK(verdict_of(without_first(eight, right - 1), replay) == Verdict::failed);
  }
  // Fifths are no such multiples: at 3/5 the choice is open.
  const std::vector<float> five(5, 0.0f);
  CHECK(undecided(reference::replay_top_p(scores_of(five), 0.4)) == 1);
}

TEST_CASE("top-p replay: the last is kept, and what was dropped before has no other value",
          "[reference][sampler]") {
  const std::vector<float> scores{1, static_cast<float>(kDropped), 2, static_cast<float>(kDropped)};
  const Replay replay = reference::replay_top_p(scores_of(scores), 0.0);
  CHECK(undecided(replay) == 0);
  const std::span<const double> expected = replay.expected.values<double>();
  CHECK(std::vector<double>(expected.begin(), expected.end()) ==
        std::vector<double>{kDropped, kDropped, 2, kDropped});
  const Replay all = reference::replay_top_p(scores_of(scores), 1 - 1e-12);  // an edge below every sum
  CHECK(undecided(all) == 0);
  CHECK(verdict_of(scores_of(scores), all) == Verdict::passed);
}

TEST_CASE("min-p replay: within rounding of the threshold a tie-flip, beyond it a failure",
          "[reference][sampler]") {
  const std::vector<float> scores = thousand();
  const std::vector<std::size_t> order = ascending(scores);
  const double largest = static_cast<double>(scores[order.back()]);
  const double ratio = std::exp(static_cast<double>(scores[order[600]]) - largest);
  for (const double factor : {1 - 1e-9, 1 + 1e-9}) {
    const Replay replay = reference::replay_min_p(scores_of(scores), ratio * factor);
    const std::size_t right = factor > 1 ? 601 : 600;
    const std::size_t other = factor > 1 ? 600 : 601;
    CHECK(undecided(replay) == 1);
    CHECK(verdict_of(without_first(scores, right), replay, OpClass::min_p) == Verdict::passed);
    CHECK(verdict_of(without_first(scores, other), replay, OpClass::min_p) == Verdict::skipped);
    CHECK(verdict_of(without_first(scores, 599), replay, OpClass::min_p) == Verdict::failed);
    CHECK(verdict_of(without_first(scores, 602), replay, OpClass::min_p) == Verdict::failed);
  }
  const Replay between = reference::replay_min_p(scores_of(scores), ratio * 1.002);
  CHECK(undecided(between) == 0);
  CHECK(verdict_of(without_first(scores, 601), between, OpClass::min_p) == Verdict::passed);
}

TEST_CASE("min-p replay: of the largest none is open, whatever the threshold", "[reference][sampler]") {
  const std::vector<float> scores{3, 1, 3, 0};
  const Replay replay = reference::replay_min_p(scores_of(scores), 1.0);
  CHECK(undecided(replay) == 0);
  CHECK(verdict_of(scores_of({3, -INFINITY, 3, -INFINITY}), replay, OpClass::min_p) == Verdict::passed);
  CHECK(verdict_of(scores_of({3, -INFINITY, -INFINITY, -INFINITY}), replay, OpClass::min_p) ==
        Verdict::failed);
}

TEST_CASE("softmax replay: a dropped place is forbidden, and has no bound", "[reference][sampler]") {
  const std::vector<float> scores{1, static_cast<float>(kDropped), 2};
  const Replay replay = reference::replay_sampling_softmax(scores_of(scores));
  CHECK(replay.expected.values<double>()[1] == 0);
  CHECK(std::fabs(replay.expected.values<double>()[2] - 1 / (1 + std::exp(-1.0))) < 1e-15);
  CHECK(replay.bound.values<double>()[1] == 0);
  CHECK(replay.bound.values<double>()[0] > 0);
  CHECK(replay.allowed.values<std::uint8_t>()[1] == 0);
}
