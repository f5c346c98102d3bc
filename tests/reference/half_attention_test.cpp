// Attention in half storage: what is kept of scores and weights decides what is right.
#include <cmath>
#include <random>

#include <catch2/catch.hpp>

#include "harness/half.h"
#include "harness/judge.h"
#include "harness/tolerance.h"
#include "reference/replay.h"
#include "tests/reference/fixtures.h"
#include "tests/support/temporary_directory.h"

using namespace plumbline;

namespace {

constexpr std::int64_t kTokens = 96, kHeads = 4, kKvHeads = 2, kDim = 10;  // test::small_config()

// One step of 96 tokens in a half type with a stated precision.
class HalfStep final : public RecordedStep {
 public:
  HalfStep(DType dtype, Precision precision) : dtype_(dtype), precision_(precision) {}
  void set(OpSite site, Shape shape, const std::vector<double>& values, DType dtype) {
    Tensor tensor(dtype, shape);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto value = static_cast<float>(values[i]);
      if (dtype == DType::f32) tensor.values<float>()[i] = value;
      if (dtype == DType::bf16) tensor.values<std::uint16_t>()[i] = f32_to_bf16(value);
      if (dtype == DType::f16) tensor.values<std::uint16_t>()[i] = f32_to_f16(value);
    }
    views_.erase(site);
    tensors_.insert_or_assign(site, std::move(tensor));
    views_.emplace(site, tensors_.at(site).view());
  }
  void forget(OpSite site) { views_.erase(site); }
  std::vector<double> get(OpSite site) const {
    const TensorView& view = views_.at(site);
    std::vector<double> values(static_cast<std::size_t>(view.elements()));
    read_f64(view, 0, values);
    return values;
  }
  DType dtype() const { return dtype_; }
  const GivenInputs* given() const override { return nullptr; }
  const TensorView* find(OpSite site) const override {
    const auto found = views_.find(site);
    return found == views_.end() ? nullptr : &found->second;
  }
  const TensorView* previous_key(int) const override { return nullptr; }
  const TensorView* previous_value(int) const override { return nullptr; }
  std::int64_t past_length() const override { return 0; }
  std::int64_t tokens() const override { return kTokens; }
  Precision precision() const override { return precision_; }

 private:
  DType dtype_;
  Precision precision_;
  std::map<OpSite, Tensor> tensors_;
  std::map<OpSite, TensorView> views_;
};

double rounded(double value, DType dtype) {
  const auto f32 = static_cast<float>(value);
  if (dtype == DType::bf16) return static_cast<double>(bf16_to_f32(f32_to_bf16(f32)));
  if (dtype == DType::f16) return static_cast<double>(f16_to_f32(f32_to_f16(f32)));
  return static_cast<double>(f32);
}

std::vector<double> normal(std::size_t count, unsigned seed, double spread) {
  std::mt19937 random(seed);
  std::normal_distribution<double> distribution(0.0, spread);
  std::vector<double> values(count);
  for (double& value : values) value = distribution(random);
  return values;
}

constexpr OpSite kQuery{Probe::q_rope, 0}, kKey{Probe::past_key, 0}, kValue{Probe::past_value, 0};
constexpr OpSite kScores{Probe::scores, 0}, kProbs{Probe::probs, 0}, kContext{Probe::context, 0};

struct Room {
  Room(DType dtype, Precision precision, double loud = 3.0) : step(dtype, precision) {
    test::write_random_checkpoint(directory.path(), test::small_config(), 4);
    replayer = reference::make_replayer(directory.path(), dtype);
    step.set(kQuery, {kTokens, kHeads, kDim}, normal(kTokens * kHeads * kDim, 1, loud), dtype);
    step.set(kKey, {kTokens, kKvHeads, kDim}, normal(kTokens * kKvHeads * kDim, 2, 1.0), dtype);
    step.set(kValue, {kTokens, kKvHeads, kDim}, normal(kTokens * kKvHeads * kDim, 3, 1.0), dtype);
  }

  // As an engine computes it, its sums in f64. `product`, `score` and `weight`: what each is rounded to.
  void attend(DType product, DType score, DType weight, DType kept_scores, DType kept_probs) {
    const std::vector<double> q = step.get(kQuery), k = step.get(kKey), v = step.get(kValue);
    const double scale = 1.0 / std::sqrt(static_cast<double>(kDim));
    std::vector<double> scores(kHeads * kTokens * kTokens), probs(scores.size());
    std::vector<double> context(kTokens * kHeads * kDim);
    for (std::int64_t head = 0; head < kHeads; ++head) {
      const std::int64_t kv = head / (kHeads / kKvHeads);
      for (std::int64_t row = 0; row < kTokens; ++row) {
        const auto at = [&](std::int64_t key) {
          return static_cast<std::size_t>((head * kTokens + row) * kTokens + key);
        };
        double largest = -1e300, total = 0;
        for (std::int64_t key = 0; key < kTokens; ++key) {
          double dot = 0;
          for (std::int64_t i = 0; i < kDim; ++i)
            dot += q[static_cast<std::size_t>((row * kHeads + head) * kDim + i)] *
                   k[static_cast<std::size_t>((key * kKvHeads + kv) * kDim + i)];
          scores[at(key)] = rounded(rounded(dot, product) * scale, score);
          if (key <= row) largest = std::max(largest, scores[at(key)]);
        }
        for (std::int64_t key = 0; key <= row; ++key) total += std::exp(scores[at(key)] - largest);
        for (std::int64_t key = 0; key <= row; ++key)
          probs[at(key)] = rounded(std::exp(scores[at(key)] - largest) / total, weight);
        for (std::int64_t i = 0; i < kDim; ++i) {
          double sum = 0;
          for (std::int64_t key = 0; key <= row; ++key)
            sum += probs[at(key)] * v[static_cast<std::size_t>((key * kKvHeads + kv) * kDim + i)];
          context[static_cast<std::size_t>((row * kHeads + head) * kDim + i)] = sum;
        }
      }
    }
    step.set(kScores, {kHeads, kTokens, kTokens}, scores, kept_scores);
    step.set(kProbs, {kHeads, kTokens, kTokens}, probs, kept_probs);
    step.set(kContext, {kTokens, kHeads * kDim}, context, step.dtype());
  }

  OpResult judged(OpSite site) const {
    static const Tolerances tolerances = Tolerances::load(test::fixture("tolerances.yaml"));
    return judge_op(site, step, *replayer, tolerances, step.dtype(), DeviceKind::cpu, JudgeOptions{});
  }
  std::string verdict(OpSite site) const { return std::string(verdict_name(judged(site).verdict)); }

  TemporaryDirectory directory;
  HalfStep step;
  std::unique_ptr<Replayer> replayer;
};

}  // namespace

TEST_CASE("half attention: scores and weights in f32 beside bf16 storage keep f32's gates",
          "[reference][half]") {
  const DType half = GENERATE(DType::bf16, DType::f16), f32 = DType::f32;
  Room room(half, {f32, f32, f32, Rounding::once});
  room.attend(f32, f32, f32, f32, f32);
  for (const OpSite site : {kScores, kProbs, kContext}) CHECK(room.verdict(site) == "passed");
  // Rounded to a half type on the way, which nobody declared.
  room.attend(f32, half, f32, f32, f32);
  CHECK(room.verdict(kScores) == "failed");
  CHECK(room.verdict(kProbs) == "passed");
  room.attend(f32, f32, half, f32, f32);
  CHECK(room.verdict(kProbs) == "failed");
  CHECK(room.verdict(kContext) == "passed");
  room.attend(f32, f32, f32, half, half);
  CHECK_THAT(room.judged(kScores).reason, Catch::Contains("where f32 is right"));
}

TEST_CASE("half attention: each operation rounds, or the op once", "[reference][half]") {
  const DType half = GENERATE(DType::bf16, DType::f16), f32 = DType::f32;
  Room each(half, {half, half, half, Rounding::each});
  each.attend(half, half, half, half, half);
  for (const OpSite site : {kScores, kProbs, kContext}) CHECK(each.verdict(site) == "passed");
  CHECK(each.judged(kScores).differing <= 0.01);
  each.attend(f32, half, half, half, half);
  CHECK_THAT(each.judged(kScores).reason, Catch::Contains("not what its roundings give"));

  Room once(half, {half, half, half, Rounding::once});
  once.attend(f32, half, half, half, half);
  for (const OpSite site : {kScores, kProbs, kContext}) CHECK(once.verdict(site) == "passed");
  once.attend(half, half, half, half, half);
  CHECK(once.verdict(kScores) == "failed");
}

TEST_CASE("half attention: a fused kernel is held to what it keeps", "[reference][half]") {
  const DType half = GENERATE(DType::bf16, DType::f16), f32 = DType::f32;
  struct Kernel {
    const char* name;
    DType product, score, weight;
    Rounding rounding;
  };
  // The more is rounded, the wider the gate: each keeps its own, and not those before.
  const std::vector<Kernel> kernels{{"all in f32", f32, f32, f32, Rounding::each},
                                    {"weights rounded", f32, f32, half, Rounding::each},
                                    {"scores rounded", half, half, half, Rounding::each}};
  for (std::size_t stated = 0; stated < kernels.size(); ++stated) {
    for (std::size_t ran = 0; ran < kernels.size(); ++ran) {
      const Kernel &s = kernels[stated], &r = kernels[ran];
      INFO("stated: " << s.name << ", ran: " << r.name);
      Room room(half, {half, s.score, s.weight, s.rounding});
      room.attend(r.product, r.score, r.weight, f32, f32);
      room.step.forget(kScores);
      room.step.forget(kProbs);
      const OpResult result = room.judged(kContext);
      CHECK(result.judged_as == OpClass::fused_attention);
      const bool keeps = ran <= stated;
      CHECK((result.verdict == Verdict::passed) == keeps);
      if (!keeps) CHECK(result.share > 1.5);
    }
  }
}

TEST_CASE("half attention: products that overflow before they are scaled", "[reference][half]") {
  const DType half = DType::f16;
  Room room(half, {half, half, half, Rounding::each}, 1.2e4);
  room.attend(half, half, half, half, half);
  const std::vector<double> scores = room.step.get(kScores);
  std::int64_t infinite = 0;
  for (const double score : scores) infinite += std::isinf(score) ? 1 : 0;
  CHECK(infinite > 1000);
  CHECK(room.verdict(kScores) == "passed");
  const OpResult probs = room.judged(kProbs);
  INFO(probs.reason);
  CHECK(probs.verdict == Verdict::skipped);
  CHECK_THAT(probs.reason, Catch::Contains("a half type overflowed"));
  // The sums of such weights: NaN, of which a fused kernel's context cannot be judged.
  CHECK(room.verdict(kContext) == "skipped");
  room.step.forget(kScores);
  room.step.forget(kProbs);
  CHECK(room.verdict(kContext) == "skipped");
}
