// Engines whose probs leak to forbidden keys and whose contexts sum these rightly: probs are blamed alone.
#include <cmath>
#include <random>

#include <catch2/catch.hpp>

#include "harness/judge.h"
#include "harness/tolerance.h"
#include "reference/replay.h"
#include "tests/reference/fixtures.h"
#include "tests/support/temporary_directory.h"

using namespace plumbline;

namespace {

constexpr double kU = 0x1p-24;
constexpr std::int64_t kHeads = 4, kKvHeads = 2, kDim = 10;  // of small_config()
constexpr OpSite kProbs{Probe::probs, 0}, kContext{Probe::context, 0};

enum class Leak { everywhere, one_late, one_head, one_key };

bool sees(Leak leak, std::int64_t head, std::int64_t query, std::int64_t key, std::int64_t tokens) {
  if (key <= query || leak == Leak::everywhere) return true;
  if (leak == Leak::one_late) return key == query + 1;
  return leak == Leak::one_head ? head == 1 : query == 0 && key == tokens - 1;
}

// Weights over what each query sees, and their sum key by key in f32.
struct Leaking {
  Leaking(Leak leak, std::int64_t tokens, unsigned seed)
      : length(tokens),
        probs(DType::f32, {kHeads, tokens, tokens}),
        values(DType::f32, {tokens, kKvHeads, kDim}),
        context(DType::f32, {tokens, kHeads * kDim}),
        scores(DType::f32, {kHeads, tokens, tokens}) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (float& v : values.values<float>()) v = normal(random) + (seed % 3 == 0 ? 3.0f : 0.0f);
    for (float& s : scores.values<float>()) s = normal(random) * (seed % 2 == 0 ? 4.0f : 1.0f);
    for (std::int64_t head = 0; head < kHeads; ++head) {
      for (std::int64_t query = 0; query < tokens; ++query) fill(leak, head, query);
    }
  }

  float& p(std::int64_t head, std::int64_t query, std::int64_t key) {
    return probs.values<float>()[static_cast<std::size_t>((head * length + query) * length + key)];
  }
  float v(std::int64_t head, std::int64_t key, std::int64_t d) {
    return values.values<float>()[static_cast<std::size_t>((key * kKvHeads + head / 2) * kDim + d)];
  }
  float& c(std::int64_t head, std::int64_t query, std::int64_t d) {
    return context.values<float>()[static_cast<std::size_t>((query * kHeads + head) * kDim + d)];
  }

  void fill(Leak leak, std::int64_t head, std::int64_t query) {
    double sum = 0;
    std::vector<double> weights;
    for (std::int64_t key = 0; key < length; ++key) {
      const double s = element_as_f64(scores.view(), (head * length + query) * length + key);
      weights.push_back(sees(leak, head, query, key, length) ? std::exp(s) : 0.0);
      sum += weights.back();
    }
    for (std::int64_t key = 0; key < length; ++key) {
      p(head, query, key) = static_cast<float>(weights[static_cast<std::size_t>(key)] / sum);
    }
    for (std::int64_t d = 0; d < kDim; ++d) {
      float running = 0;
      for (std::int64_t key = 0; key < length; ++key) running += p(head, query, key) * v(head, key, d);
      c(head, query, d) = running;
    }
  }

  test::HandMadeStep step() const {
    test::HandMadeStep made(length, 0);
    made.set({Probe::scores, 0}, scores);
    made.set(kProbs, probs);
    made.set({Probe::past_value, 0}, values);
    made.set(kContext, context);
    return made;
  }

  std::int64_t length;
  Tensor probs, values, context, scores;
};

struct Court {
  Court() {
    test::write_random_checkpoint(directory.path(), test::small_config(), 4);
    replayer = reference::make_replayer(directory.path(), DType::f32);
  }
  OpResult judged(OpSite site, const Leaking& run) const {
    return judge_op(site, run.step(), *replayer, tolerances, DType::f32, DeviceKind::cpu);
  }
  TemporaryDirectory directory;
  std::unique_ptr<Replayer> replayer;
  Tolerances tolerances = Tolerances::load(test::fixture("tolerances.yaml"));
};

}  // namespace

TEST_CASE("attention: where probs leak, a context that sums them rightly is not blamed",
          "[reference][attention]") {
  const Court court;
  unsigned seed = 0;
  for (const std::int64_t tokens : {2, 8, 33, 64, 200}) {
    for (const Leak leak : {Leak::everywhere, Leak::one_late, Leak::one_head, Leak::one_key}) {
      for (int repeat = 0; repeat < 3; ++repeat, ++seed) {
        Leaking run(leak, tokens, seed);
        INFO(tokens << " tokens, leak " << static_cast<int>(leak) << ", seed " << seed);
        CHECK(court.judged(kProbs, run).verdict == Verdict::failed);
        const OpResult context = court.judged(kContext, run);
        CHECK(context.verdict == Verdict::passed);
        CHECK(context.share <= 0.5);
        // One key of 2e-4 of the weight, beside a leak: a mistake of the context's own.
        run.c(1, tokens / 2, 3) += 2e-4f * run.v(1, 0, 3);
        CHECK(court.judged(kContext, run).verdict == Verdict::failed);
      }
    }
  }
}

TEST_CASE("attention: a leaked key counts in its own head's sum alone", "[reference][attention]") {
  const Court court;
  Leaking run(Leak::everywhere, 3, 5);
  for (std::int64_t head = 1; head < kHeads; ++head) run.fill(Leak::one_key, head, 1);  // causal there
  run.p(0, 0, 1) = 0.0f;  // the keys that count are neighbours no longer
  std::string why;
  const Replay replay = court.replayer->replay(kContext, run.step(), DType::f32, why).value();
  const auto bound = replay.bound.values<double>();
  const auto bound_of = [&](std::int64_t head, std::int64_t query, const std::vector<std::int64_t>& keys) {
    double sum = 0, highest = 0, lowest = 0, squares = 0;
    for (const std::int64_t key : keys) {
      const double term = double{run.p(head, query, key)} * double{run.v(head, key, 7)};
      sum += term;
      squares += term * term;
      highest = std::max(highest, sum);
      lowest = std::min(lowest, sum);
    }
    return kU * std::sqrt(static_cast<double>(keys.size())) * (highest - lowest + std::sqrt(squares));
  };
  const auto actual = [&](std::int64_t head, std::int64_t query) {
    return bound[static_cast<std::size_t>((query * kHeads + head) * kDim + 7)];
  };
  CHECK(actual(0, 0) == Approx(bound_of(0, 0, {0, 2})).epsilon(1e-12));
  CHECK(actual(1, 0) == Approx(bound_of(1, 0, {0, 1, 2})).epsilon(1e-12));
  CHECK(actual(0, 1) == Approx(bound_of(0, 1, {0, 1, 2})).epsilon(1e-12));
  CHECK(actual(1, 1) == Approx(bound_of(1, 1, {0, 1})).epsilon(1e-12));
}
