#include "impl/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

#include "impl/cpu/isa.h"
#include "impl/lanes.h"
#include "impl/mask.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

struct Problem {
  std::vector<float> queries, keys, values;
  AttentionInput input;
};

Problem make_problem(std::int64_t tokens, std::int64_t past, std::int64_t head_dim,
                     std::optional<std::int64_t> window) {
  Problem p;
  p.input.tokens = tokens;
  p.input.length = past + tokens;
  p.input.heads = 6;
  p.input.kv_heads = 2;
  p.input.head_dim = head_dim;
  p.input.scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  p.input.window = window;
  p.queries = random_floats(static_cast<std::size_t>(tokens * 6 * head_dim), 1);
  p.keys = random_floats(static_cast<std::size_t>(p.input.length * 2 * head_dim), 2);
  p.values = random_floats(static_cast<std::size_t>(p.input.length * 2 * head_dim), 3);
  return p;
}

// The pointers, set late: a copied problem must point into its own vectors.
AttentionInput input_of(const Problem& p) {
  AttentionInput in = p.input;
  in.queries = p.queries.data();
  in.runs.add({p.keys.data(), p.values.data(), in.length, in.kv_heads * in.head_dim, in.head_dim});
  return in;
}

std::vector<float> run_attention(const CpuContext& context, const Problem& p) {
  std::vector<float> out(p.queries.size());
  attention(context, input_of(p), out.data());
  return out;
}

// Literal, in f64. The f32 scale is part of the specification.
std::vector<double> expected_context(const Problem& p) {
  const AttentionInput in = input_of(p);
  std::vector<double> out(p.queries.size());
  for (std::int64_t head = 0; head < in.heads; ++head) {
    const std::int64_t kv = head / (in.heads / in.kv_heads);
    for (std::int64_t query = 0; query < in.tokens; ++query) {
      std::vector<double> weights(static_cast<std::size_t>(in.length));
      double sum = 0;
      for (std::int64_t key = 0; key < in.length; ++key) {
        const std::int64_t position = in.past() + query;
        const bool visible = key <= position && (!in.window || key > position - *in.window);
        if (!visible) continue;
        double dot = 0;
        for (std::int64_t d = 0; d < in.head_dim; ++d) {
          dot += static_cast<double>(in.queries[(query * in.heads + head) * in.head_dim + d]) *
                 p.keys[static_cast<std::size_t>((key * in.kv_heads + kv) * in.head_dim + d)];
        }
        sum += weights[static_cast<std::size_t>(key)] = std::exp(dot * static_cast<double>(in.scale));
      }
      for (std::int64_t d = 0; d < in.head_dim; ++d) {
        double total = 0;
        for (std::int64_t key = 0; key < in.length; ++key) {
          total += weights[static_cast<std::size_t>(key)] / sum *
                   p.values[static_cast<std::size_t>((key * in.kv_heads + kv) * in.head_dim + d)];
        }
        out[static_cast<std::size_t>((query * in.heads + head) * in.head_dim + d)] = total;
      }
    }
  }
  return out;
}

double worst_error(std::span<const float> actual, std::span<const double> expected) {
  double worst = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double error = std::fabs(static_cast<double>(actual[i]) - expected[i]);
    if (!std::isfinite(error)) return std::numeric_limits<double>::infinity();
    worst = std::max(worst, error);
  }
  return worst;
}

}  // namespace

TEST_CASE("attention: equals the formula, for chunks, windows and odd head sizes, on every instruction set") {
  struct Case {
    std::int64_t tokens, past, head_dim;
    std::optional<std::int64_t> window;
  };
  const std::vector<Case> cases{{1, 0, 20, {}},  {1, 70, 20, {}}, {37, 0, 20, {}},  {30, 45, 64, {}},
                                {37, 0, 20, 16}, {30, 45, 20, 1}, {9, 100, 80, 33}, {3, 2, 128, 500}};
  for (const Case& each : cases) {
    const Problem p = make_problem(each.tokens, each.past, each.head_dim, each.window);
    const std::vector<double> expected = expected_context(p);
    std::vector<float> first;
    for (const std::string& isa : available_isas()) {
      ThreadPool pool(isa == "scalar" ? 1 : 2);
      const std::vector<float> out = run_attention({kernels_for(isa), pool}, p);
      if (first.empty()) first = out;
      CHECK(same_bits(out, first));
    }
    CHECK(worst_error(first, expected) < 2e-6);
  }
}

TEST_CASE("attention: with probes or without, the same bits; forbidden weights are exactly 0") {
  for (const std::optional<std::int64_t> window :
       {std::optional<std::int64_t>(), std::optional<std::int64_t>(5)}) {
    const Problem p = make_problem(31, 40, 20, window);
    const AttentionInput in = input_of(p);
    ThreadPool pool(2);
    const CpuContext context{kernels_for(""), pool};
    std::vector<float> scores(static_cast<std::size_t>(in.heads * in.tokens * in.length));
    std::vector<float> probs(scores.size(), 9.0f), out(p.queries.size());
    attention_scores(context, in, scores.data());
    attention_probs(context, in, scores.data(), probs.data());
    attention_context(context, in, probs.data(), out.data());
    CHECK(same_bits(out, run_attention(context, p)));
    bool zero = true;
    for (std::size_t i = 0; i < probs.size(); ++i) {
      const auto place = static_cast<std::int64_t>(i);
      const std::int64_t query = place / in.length % in.tokens;
      if (!allowed(in.past() + query, place % in.length, window)) zero = zero && probs[i] == 0.0f;
    }
    CHECK(zero);
  }
}

TEST_CASE("attention: what forbidden keys and values hold changes no bit") {
  const Problem clean = make_problem(10, 30, 20, 8);
  Problem poisoned = clean;
  // Keys before the first query's window, which nobody sees.
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (std::int64_t i = 0; i < 23 * 2 * 20; ++i) {
    poisoned.keys[static_cast<std::size_t>(i)] = poisoned.values[static_cast<std::size_t>(i)] = nan;
  }
  ThreadPool pool(1);
  const CpuContext context{kernels_for(""), pool};
  CHECK(same_bits(run_attention(context, clean), run_attention(context, poisoned)));
}

TEST_CASE("attention: a later key's infinity does not reach an earlier query") {
  const Problem clean = make_problem(20, 0, 20, {});
  Problem poisoned = clean;
  const std::size_t last = 19 * 2 * 20;
  for (std::size_t i = 0; i < 40; ++i) {
    poisoned.values[last + i] = poisoned.keys[last + i] = std::numeric_limits<float>::infinity();
  }
  ThreadPool pool(1);
  const CpuContext context{kernels_for(""), pool};
  const std::vector<float> a = run_attention(context, clean), b = run_attention(context, poisoned);
  const std::size_t rows = 19 * 6 * 20;
  CHECK(same_bits(std::span(a).first(rows), std::span(b).first(rows)));
}

TEST_CASE("attention: a key that is NaN makes every query that sees it NaN, and no other") {
  const Problem clean = make_problem(20, 0, 20, {});
  Problem poisoned = clean;
  const std::size_t key = 7, row = 6 * 20;
  for (std::size_t i = 0; i < 40; ++i) poisoned.keys[key * 40 + i] = std::numeric_limits<float>::quiet_NaN();
  ThreadPool pool(1);
  const CpuContext context{kernels_for(""), pool};
  const std::vector<float> a = run_attention(context, clean), b = run_attention(context, poisoned);
  CHECK(same_bits(std::span(a).first(key * row), std::span(b).first(key * row)));
  CHECK(std::all_of(b.begin() + key * row, b.end(), [](float each) { return std::isnan(each); }));
}

TEST_CASE("attention: the context's blocks count from the first key, so masked keys before it are no-ops") {
  const std::int64_t keys = 150, dim = 84, begin = 45;
  const std::vector<float> values = random_floats(static_cast<std::size_t>(keys * dim), 4);
  std::vector<float> weights = random_floats(static_cast<std::size_t>(keys), 5);
  std::fill_n(weights.begin(), begin, 0.0f);
  for (const std::string& isa : available_isas()) {
    std::vector<float> all(static_cast<std::size_t>(dim)), some(all.size());
    const ValueRun run{values.data(), keys, dim};
    WeightedSumArgs args{weights.data(), &run, 0, keys, dim, all.data()};
    kernels_for(isa).weighted_sum(args);
    args.begin = begin;
    args.out = some.data();
    kernels_for(isa).weighted_sum(args);
    INFO(isa);
    CHECK(same_bits(all, some));
  }
}

TEST_CASE(
    "attention: a query of several heads at once gives the bits of each head alone, however it is shared "
    "out") {
  for (const std::int64_t group : {1, 2, 3, 5, 7, 9}) {
    for (const std::int64_t kv_heads : {1, 2, 3}) {
      for (const std::int64_t length : {1, 31, 33, 130}) {
        const std::int64_t dim = group == 3 ? 20 : group == 5 ? 128 : 64;
        Problem p =
            make_problem(1, length - 1, dim, group == 2 ? std::optional<std::int64_t>(40) : std::nullopt);
        p.input.kv_heads = kv_heads;
        p.input.heads = kv_heads * group;
        p.queries = random_floats(static_cast<std::size_t>(p.input.heads * dim), 1);
        p.keys = random_floats(static_cast<std::size_t>(length * kv_heads * dim), 2);
        p.values = random_floats(p.keys.size(), 3);
        const AttentionInput in = input_of(p);
        // By heads, as a recording sink has them.
        ThreadPool alone(1);
        const CpuContext scalar{kernels_for("scalar"), alone};
        std::vector<float> scores(static_cast<std::size_t>(in.heads * length)), probs(scores.size());
        std::vector<float> expected(p.queries.size());
        attention_scores(scalar, in, scores.data());
        attention_probs(scalar, in, scores.data(), probs.data());
        attention_context(scalar, in, probs.data(), expected.data());
        for (const std::string& isa : available_isas()) {
          for (const int threads : {1, 2, 3, 8}) {
            INFO(isa << ", " << threads << " threads, " << group << " x " << kv_heads << " heads, "
                     << length);
            ThreadPool pool(threads);
            CHECK(same_bits(run_attention({kernels_for(isa), pool}, p), expected));
          }
        }
      }
    }
  }
}

TEST_CASE("attention: the softmax has the bits of four lanes at a time, on every instruction set") {
  for (std::int64_t count = 1; count <= 70; ++count) {
    std::vector<float> scores = random_floats(static_cast<std::size_t>(count), 6);
    for (std::size_t i = 0; i < scores.size(); ++i) scores[i] *= i % 3 == 0 ? 90.0f : 2.0f;
    const float scale = 0.125f;
    std::vector<float> expected(scores);
    for (float& each : expected) each *= scale;
    const float largest = *std::max_element(expected.begin(), expected.end());
    map_lanes(expected, expected, largest,
              [&](const Lanes& each) { return exp_not_positive(each - largest); });
    const auto divisor = static_cast<float>(sum_of(expected));
    for (float& each : expected) each /= divisor;
    for (const std::string& isa : available_isas()) {
      // Beyond the row nothing is touched.
      std::vector<float> probs(scores.size() + 16, 9.0f);
      kernels_for(isa).softmax({scores.data(), probs.data(), count, scale});
      INFO(isa << ", " << count);
      CHECK(same_bits(std::span(probs).first(scores.size()), expected));
      CHECK(std::count(probs.begin() + count, probs.end(), 9.0f) == 16);
      std::vector<float> spoiled = scores;
      spoiled[static_cast<std::size_t>(count / 2)] = std::numeric_limits<float>::quiet_NaN();
      kernels_for(isa).softmax({spoiled.data(), spoiled.data(), count, scale});
      CHECK(std::all_of(spoiled.begin(), spoiled.end(), [](float each) { return std::isnan(each); }));
    }
  }
}
