// Attention on the device beside f64, and on numbers that are none.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <catch2/catch.hpp>

#include "impl/cuda/attention/attention.h"
#include "tests/impl/cuda/attention_support.h"
#include "tests/impl/cuda/sum_bound.h"
#include "tests/impl/cuda/support.h"

using namespace plumbline;
using namespace plumbline::native::cuda;
using namespace plumbline::native::cuda::testing;

namespace {

// One row of one head against f64 of its recorded inputs, by the limits of docs/tolerances.md.
void check_bounds(const Problem& p, const Result& result, std::int64_t row, std::int64_t head) {
  const auto at = static_cast<std::size_t>(row * p.heads + head);
  const std::int64_t kv_row = p.kv_heads * p.head_dim, kv_first = head / (p.heads / p.kv_heads) * p.head_dim;
  const KeySpan own = seen_by(p, p.steps[0].past + row);
  const double scale = p.scale;
  double largest = -HUGE_VAL, denominator = 0, mean_distance = 0;
  for (std::int64_t key = own.begin; key < own.end; ++key) {
    std::vector<double> terms;
    for (std::int64_t d = 0; d < p.head_dim; ++d) {
      terms.push_back(
          double{p.queries[at * static_cast<std::size_t>(p.head_dim) + static_cast<std::size_t>(d)]} *
          p.keys[0][static_cast<std::size_t>(key * kv_row + kv_first + d)]);
    }
    const Sum sum = sum_of(terms);
    const double score = result.scores[at][static_cast<std::size_t>(key)];
    REQUIRE(std::abs(score - sum.value * scale) <=
            2.5 * scale * (sum.bound + 2 * kUnit * std::abs(sum.value)));
    largest = std::max(largest, score);
  }
  for (std::int64_t key = own.begin; key < own.end; ++key) {
    const double distance = largest - result.scores[at][static_cast<std::size_t>(key)];
    denominator += std::exp(-distance);
    mean_distance += std::exp(-distance) * distance;
  }
  mean_distance /= denominator;
  const double count = static_cast<double>(own.end - own.begin);
  for (std::int64_t key = own.begin; key < own.end; ++key) {
    const double distance = largest - result.scores[at][static_cast<std::size_t>(key)];
    const double right = std::exp(-distance) / denominator;
    const double bound = kUnit * right * (distance + mean_distance + std::sqrt(count) / 2 + 4) + 0x1p-126;
    REQUIRE(std::abs(result.probs[at][static_cast<std::size_t>(key)] - right) <= 7 * bound);
  }
  for (std::int64_t d = 0; d < p.head_dim; ++d) {
    std::vector<double> terms;
    for (std::int64_t key = own.begin; key < own.end; ++key) {
      terms.push_back(double{result.probs[at][static_cast<std::size_t>(key)]} *
                      p.values[0][static_cast<std::size_t>(key * kv_row + kv_first + d)]);
    }
    const Sum sum = sum_of(terms);
    const double got =
        result.context[at * static_cast<std::size_t>(p.head_dim) + static_cast<std::size_t>(d)];
    REQUIRE(std::abs(got - sum.value) <= 2.5 * sum.bound);
  }
}

}  // namespace

TEST_CASE("Attention on the device is within the bounds of f64") {
  Random random(18);
  for (unsigned i = 0; i < 12; ++i) {
    Problem p = random_problem(random, {128, 4, 400, 6, 1});
    p.storage = DType::f32;
    p = problem_of(random, p);
    Form form;
    form.in_place = false;
    form.partial = i % 2 == 0;
    const Result result = attend(p, form, i);
    CAPTURE(i, p.head_dim, p.window);
    for (std::int64_t row = 0; row < p.rows(); ++row) {
      for (std::int64_t head = 0; head < p.heads; ++head) check_bounds(p, result, row, head);
    }
  }
}

TEST_CASE("Softmax on the device: NaN and infinities of the scores") {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr std::int64_t kLength = 1300;  // beyond what threads hold in registers
  const auto weights_of = [&](std::vector<float> scores) {
    const DeviceArray<QueryTile> tiles({{0, 1, 0, 0, kLength - 1, kLength, 0, kLength, 0}});
    const DeviceArray<float> rows(scores);
    AttentionLayer layer;
    layer.heads = layer.kv_heads = layer.head_dim = layer.tile_count = layer.most_queries = 1;
    layer.most_keys = kLength;
    layer.tiles = tiles.data();
    attention_softmax(nullptr, layer, rows.data(), rows.data(), RowPart::allowed);
    return rows.read();
  };
  const auto all_nan = [](const std::vector<float>& row) {
    return std::all_of(row.begin(), row.end(), [](float p) { return std::isnan(p); });
  };
  const std::vector<float> flat(kLength, 0.5f);
  for (const std::size_t at : {0, 1, 500, 1023, 1024, 1299}) {
    for (const float bad : {kNan, kInfinity}) {
      std::vector<float> scores = flat;
      scores[at] = bad;
      CAPTURE(at, bad);
      CHECK(all_nan(weights_of(scores)));
    }
    std::vector<float> scores = flat;
    scores[at] = -kInfinity;
    const std::vector<float> weights = weights_of(scores);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      REQUIRE(weights[i] == (i == at ? 0.0f : 1.0f / static_cast<float>(kLength - 1)));
    }
    scores.assign(kLength, -kInfinity);
    scores[at] = -3e38f;
    CHECK(weights_of(scores)[at] == 1.0f);
  }
  CHECK(all_nan(weights_of(std::vector<float>(kLength, -kInfinity))));
  CHECK(all_nan(weights_of(std::vector<float>(kLength, kNan))));
}
