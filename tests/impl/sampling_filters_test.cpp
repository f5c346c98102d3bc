// The filters against the plainest form of each, bit for bit: every row, every edge.
#include "impl/sampling/filters.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include <catch2/catch.hpp>

#include "tests/impl/sampling_support.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// Through the candidates, as the chain does it.
Floats filtered(const Floats& scores, const std::function<void(Candidates&)>& filter) {
  Candidates candidates;
  candidates.take_all(scores);
  filter(candidates);
  return dense(candidates, scores.size());
}
Floats after_top_k(const Floats& scores, std::int64_t k) {
  return filtered(scores, [&](Candidates& candidates) { TopK().take(scores, k, candidates); });
}
Floats after_top_p(const Floats& scores, double p) {
  return filtered(scores, [&](Candidates& candidates) { TopP().keep(p, candidates); });
}
Floats after_min_p(const Floats& scores, double min_p) {
  return filtered(scores, [&](Candidates& candidates) { keep_min_p(min_p, candidates); });
}

// exp(score - largest), f32, 0 where dropped: the candidates' own.
Floats weights_of(const Floats& scores) {
  Candidates candidates;
  candidates.take_all(scores);
  Floats weights(scores.size(), 0.0f);
  const std::span<const float> each = candidates.weights();
  for (std::size_t i = 0; i < each.size(); ++i)
    weights[static_cast<std::size_t>(candidates.ids()[i])] = each[i];
  return weights;
}

Floats plain_top_k(const Floats& scores, std::int64_t k) {
  Floats sorted = scores;
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  const float kth = sorted[static_cast<std::size_t>(std::min<std::int64_t>(k, std::ssize(scores)) - 1)];
  Floats out = scores;
  for (float& score : out) score = score < kth ? -kInf : score;
  return out;
}

// Sorts all, and sums all: no other order of f64 sums puts the cut of these rows elsewhere.
Floats plain_top_p(const Floats& scores, double p) {
  const Floats weights = weights_of(scores);
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return scores[a] < scores[b]; });
  const double limit = (1.0 - p) * std::accumulate(weights.begin(), weights.end(), 0.0);
  Floats out = scores;
  double sum = 0;
  for (const std::size_t i : std::span(order).first(order.size() - 1)) {  // the last is always kept
    sum += static_cast<double>(weights[i]);
    if (sum > limit) break;
    out[i] = -kInf;
  }
  return out;
}

// A probability is a weight over the sum of all, rounded to f32 before and after the division.
Floats plain_softmax(const Floats& scores) {
  Floats weights = weights_of(scores);
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (float& weight : weights) weight /= static_cast<float>(sum);
  return weights;
}

Floats plain_min_p(const Floats& scores, double min_p) {
  const Floats probabilities = plain_softmax(scores);
  const float threshold =
      static_cast<float>(min_p) * *std::max_element(probabilities.begin(), probabilities.end());
  Floats out = scores;
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = probabilities[i] < threshold ? -kInf : out[i];
  return out;
}

constexpr std::size_t kSizes[] = {1, 2, 3, 10, 64, 127, 128, 129, 130, 257, 1000, 4097, 20'000};

void on_every_row(const std::function<void(const Floats&)>& body) {
  unsigned seed = 1;
  for (const std::size_t vocab : kSizes) {
    for (const auto& [name, row] : awkward_rows(vocab, seed++)) {
      INFO(name << ", " << vocab << " tokens");
      body(row);
    }
  }
}

}  // namespace

TEST_CASE("sampler: top-k keeps every tie of the k-th") {
  CHECK(kept(after_top_k({5, 4, 3, 3, 3, 1}, 3)) == Ids{0, 1, 2, 3, 4});
  CHECK(kept(after_top_k({1, 2}, 9)) == Ids{0, 1});
  Floats empty_block(65, 1.0f);  // blocks of 64 are looked at first; the second has nothing
  empty_block[64] = -kInf;
  empty_block[7] = 3;
  empty_block[9] = 2;
  CHECK(kept(after_top_k(empty_block, 2)) == Ids{7, 9});
}

TEST_CASE("sampler: top-p sorts ascending, equal logits by id, and drops while the sum is at most 1 - p") {
  CHECK(kept(after_top_p(Floats(8, 0.0f), 0.5)) == Ids{4, 5, 6, 7});
  CHECK(kept(after_top_p({0, 10, 0}, 0.9)) == Ids{1});
  CHECK(kept(after_top_p(Floats(8, 0.0f), 0.0)) == Ids{7});  // the last is always kept
  CHECK(kept(after_top_p({1, -kInf, 1, -kInf}, 0.999)) == Ids{0, 2});
}

TEST_CASE("sampler: min-p drops what is less likely than its share of the likeliest") {
  CHECK(kept(after_min_p({0.0f, std::log(0.5f), std::log(0.09f)}, 0.1)) == Ids{0, 1});
  CHECK(kept(after_min_p({0.0f, -1.0f}, 1.0)) == Ids{0});
}

TEST_CASE("sampler: top-k is the plain sort's, on every row and for every k") {
  on_every_row([](const Floats& row) {
    const auto vocab = std::ssize(row);
    for (const std::int64_t k : std::vector<std::int64_t>{1, 2, 3, 20, 63, 64, 65, vocab / 64, vocab / 64 + 1,
                                                          vocab / 2, vocab - 1, vocab, vocab + 5}) {
      if (k < 1) continue;
      INFO("k " << k);
      CHECK(same_bits(after_top_k(row, k), plain_top_k(row, k)));
    }
  });
}

TEST_CASE("sampler: top-p is the plain sort's, on every row and for every p") {
  on_every_row([](const Floats& row) {
    for (const double p : {0.0, 1e-12, 1e-4, 0.3, 0.5, 0.95, 0.999, 1 - 0x1p-20, 1 - 0x1p-50}) {
      INFO("p " << p);
      CHECK(same_bits(after_top_p(row, p), plain_top_p(row, p)));
    }
  });
}

TEST_CASE("sampler: min-p is the plain threshold's, on every row") {
  on_every_row([](const Floats& row) {
    for (const double min_p : {1e-6, 0.05, 0.5, 1.0}) {
      INFO("min_p " << min_p);
      CHECK(same_bits(after_min_p(row, min_p), plain_min_p(row, min_p)));
    }
  });
}

TEST_CASE("sampler: filters after filters are the plain ones' composition, in one set of buffers") {
  TopK top_k;
  TopP top_p;
  Candidates candidates;
  on_every_row([&](const Floats& row) {
    top_k.take(row, 40, candidates);
    top_p.keep(0.9, candidates);
    keep_min_p(0.02, candidates);
    CHECK(
        same_bits(dense(candidates, row.size()), plain_min_p(plain_top_p(plain_top_k(row, 40), 0.9), 0.02)));
  });
}
