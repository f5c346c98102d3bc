// The comparator itself on trial: what must not pass, does not; what must, does.
#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

#include "harness/judge.h"

using namespace plumbline;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

Tensor f32(Shape shape, std::vector<float> values) {
  return Tensor::from<float>(DType::f32, shape, values);
}
Tensor f64(Shape shape, std::vector<double> values) {
  return Tensor::from<double>(DType::f64, shape, values);
}
Tensor flags(Shape shape, std::vector<std::uint8_t> values) {
  return Tensor::from<std::uint8_t>(DType::boolean, shape, values);
}

Tolerance bounded(double lambda) {
  Tolerance tolerance;
  tolerance.rule = Rule::bound;
  tolerance.lambda = lambda;
  return tolerance;
}

// Four values, each with B = 1e-6.
Replay four_values() {
  Replay replay;
  replay.expected = f64({4}, {1.0, 2.0, -3.0, 4.0});
  replay.bound = f64({4}, {1e-6, 1e-6, 1e-6, 1e-6});
  return replay;
}

OpResult compare(const Tensor& actual, const Replay& replay, const Tolerance& tolerance,
                 OpClass op = OpClass::linear) {
  return compare_op(actual.view(), replay, tolerance, op, 0.0);
}

// A replayer with one op, for what judge_op does around the comparison.
class OneOp final : public Replayer {
 public:
  explicit OneOp(Replay replay) : replay_(std::move(replay)) { config_.num_hidden_layers = 1; }
  const ModelConfig& config() const override { return config_; }
  const std::string& weight_hash() const override { return hash_; }
  std::span<const OpSite> sites() const override { return sites_; }
  std::optional<Replay> replay(OpSite, const RecordedStep&, DType, std::string&) const override {
    return replay_;
  }
  OpClass judged_as(OpSite, const RecordedStep&) const override { return OpClass::linear; }

 private:
  ModelConfig config_;
  std::string hash_ = "abc";
  std::vector<OpSite> sites_{{Probe::o_proj, 0}};
  Replay replay_;
};

Tolerances one_row() {
  return Tolerances::parse(
      "version: 1\n"
      "ops:\n"
      "  - {op: linear, dtype: f32, device: cpu, rule: bound, lambda: 2, why: test}\n"
      "gates:\n"
      "  - {gate: forbidden_weight, value: 0, why: test}\n",
      "test.yaml");
}

Trace with(Tensor tensor) {
  Trace trace;
  trace.steps.push_back({});
  trace.steps[0].tensors.emplace(OpSite{Probe::o_proj, 0}, std::move(tensor));
  return trace;
}

Verdict judged(const Trace& trace, bool require_all = true) {
  JudgeOptions options;
  options.require_all = require_all;
  const Judgement judgement = judge(trace, OneOp(four_values()), one_row(), options);
  REQUIRE(judgement.ops.size() == 1);
  return judgement.ops[0].verdict;
}

}  // namespace

TEST_CASE("comparator: an output within its bound passes, and says how much it used") {
  const OpResult result = compare(f32({4}, {1.0f, 2.0f, -3.0f, 4.000001f}), four_values(), bounded(2));
  CHECK(result.verdict == Verdict::passed);
  CHECK(result.share > 0.4);
  CHECK(result.share < 0.6);
  CHECK(result.worst.to_string() == "[3]");
}

TEST_CASE("comparator: one element beyond its bound fails, and is named") {
  const OpResult result = compare(f32({4}, {1.0f, 2.00001f, -3.0f, 4.0f}), four_values(), bounded(2));
  CHECK(result.verdict == Verdict::failed);
  CHECK(result.worst.to_string() == "[1]");
  CHECK(result.first_bad_row == 1);
  CHECK(result.bad_rows == 1);
}

TEST_CASE("comparator: NaN never passes, wherever it stands and however wide the gate") {
  for (const std::size_t place : {0u, 3u}) {
    std::vector<float> values{1.0f, 2.0f, -3.0f, 4.0f};
    values[place] = static_cast<float>(kNan);
    CHECK(compare(f32({4}, values), four_values(), bounded(1e30)).verdict == Verdict::failed);
    CHECK(compare(f32({4}, values), four_values(), Tolerance{}).verdict == Verdict::failed);
  }
  Replay broken = four_values();
  broken.expected.values<double>()[2] = kNan;
  CHECK(compare(f32({4}, {1, 2, static_cast<float>(kNan), 4}), broken, bounded(1e30)).verdict ==
        Verdict::failed);
  broken = four_values();
  broken.bound.values<double>()[2] = kNan;
  CHECK(compare(f32({4}, {1, 2, -3.5f, 4}), broken, bounded(1)).verdict == Verdict::failed);
}

TEST_CASE("comparator: infinity passes only where both sides hold the same one") {
  Replay replay = four_values();
  replay.expected.values<double>()[1] = -kInf;
  const auto inf = static_cast<float>(kInf);
  CHECK(compare(f32({4}, {1, -inf, -3, 4}), replay, Tolerance{}, OpClass::top_k).verdict == Verdict::passed);
  CHECK(compare(f32({4}, {1, inf, -3, 4}), replay, Tolerance{}, OpClass::top_k).verdict == Verdict::failed);
  CHECK(compare(f32({4}, {1, 2, -3, 4}), replay, Tolerance{}, OpClass::top_k).verdict == Verdict::failed);
  CHECK(compare(f32({4}, {inf, 2, -3, 4}), four_values(), bounded(1e30)).verdict == Verdict::failed);
}

TEST_CASE("comparator: a wrong shape fails even when the elements would fit") {
  CHECK(compare(f32({2, 2}, {1, 2, -3, 4}), four_values(), bounded(2)).verdict == Verdict::failed);
  CHECK(compare(f32({3}, {1, 2, -3}), four_values(), bounded(2)).verdict == Verdict::failed);
}

TEST_CASE("comparator: an empty comparison is untested, not passed") {
  Replay empty;
  empty.expected = f64({0}, {});
  empty.bound = f64({0}, {});
  CHECK(compare(f32({0}, {}), empty, bounded(2)).verdict == Verdict::untested);

  Replay nothing_allowed = four_values();
  nothing_allowed.allowed = flags({4}, {0, 0, 0, 0});
  CHECK(compare(f32({4}, {9, 9, 9, 9}), nothing_allowed, bounded(2), OpClass::scores).verdict ==
        Verdict::untested);
}

TEST_CASE("comparator: a constant right output is mistrusted") {
  Replay constant;
  constant.expected = f64({4}, {0, 0, 0, 0});
  constant.bound = f64({4}, {1, 1, 1, 1});
  CHECK(compare(f32({4}, {0, 0, 0, 0}), constant, bounded(2)).verdict == Verdict::mistrusted);
  CHECK(compare(f32({4}, {0, 0, 0, 9}), constant, bounded(2)).verdict == Verdict::failed);
}

TEST_CASE("comparator: the exact rule takes no difference at all") {
  CHECK(compare(f32({4}, {1, 2, -3, 4}), four_values(), Tolerance{}, OpClass::residual).verdict ==
        Verdict::passed);
  const float next = std::nextafter(4.0f, 5.0f);
  const OpResult result = compare(f32({4}, {1, 2, -3, next}), four_values(), Tolerance{}, OpClass::residual);
  CHECK(result.verdict == Verdict::failed);
  CHECK(std::isinf(result.share));
}

TEST_CASE("comparator: a bound that the replay did not give is an error, not a pass") {
  Replay replay = four_values();
  replay.bound = Tensor();
  CHECK(compare(f32({4}, {1, 2, -3, 4}), replay, bounded(2)).verdict == Verdict::error);
}

TEST_CASE("comparator: a weight where the mask forbids one fails; a score there may be anything") {
  Replay replay = four_values();
  replay.allowed = flags({4}, {1, 1, 1, 0});
  CHECK(compare(f32({4}, {1, 2, -3, 0}), replay, bounded(2), OpClass::softmax).verdict == Verdict::passed);
  CHECK(compare(f32({4}, {1, 2, -3, 1e-30f}), replay, bounded(2), OpClass::softmax).verdict ==
        Verdict::failed);
  CHECK(
      compare(f32({4}, {1, 2, -3, static_cast<float>(kNan)}), replay, bounded(2), OpClass::softmax).verdict ==
      Verdict::failed);
  CHECK(
      compare(f32({4}, {1, 2, -3, static_cast<float>(-kInf)}), replay, bounded(2), OpClass::scores).verdict ==
      Verdict::passed);
}

TEST_CASE("comparator: a ceiling fails what a wide bound would let pass, scaled by the row") {
  Tolerance tolerance = bounded(1e6);  // element gate 1.0
  tolerance.ceiling = 1e-3;            // times 4, the row's largest value
  CHECK(compare(f32({4}, {1.003f, 2, -3, 4}), four_values(), tolerance).verdict == Verdict::passed);
  CHECK(compare(f32({4}, {1.005f, 2, -3, 4}), four_values(), tolerance).verdict == Verdict::failed);
  Replay without = four_values();
  without.ceiling_holds = false;
  CHECK(compare(f32({4}, {1.005f, 2, -3, 4}), without, tolerance).verdict == Verdict::passed);
}

TEST_CASE("comparator: a common factor hidden under every element's bound shows as a slope") {
  Replay replay;
  std::vector<double> expected(512), bound(512);
  std::vector<float> scaled(512), jittered(512);
  for (std::size_t i = 0; i < 512; ++i) {
    expected[i] = std::sin(static_cast<double>(i) + 1);
    bound[i] = 1e-5 * std::fabs(expected[i]);
    scaled[i] = static_cast<float>(expected[i] * (1 + 5e-6));
    jittered[i] = static_cast<float>(expected[i] * (1 + (i % 2 == 0 ? 5e-6 : -5e-6)));
  }
  replay.expected = f64({512}, expected);
  replay.bound = f64({512}, bound);
  Tolerance tolerance = bounded(1);
  CHECK(compare(f32({512}, scaled), replay, tolerance).verdict == Verdict::passed);
  tolerance.largest_slope = 2;
  CHECK(compare(f32({512}, scaled), replay, tolerance).verdict == Verdict::failed);
  CHECK(compare(f32({512}, jittered), replay, tolerance).verdict == Verdict::passed);
}

TEST_CASE("judge: a missing probe is untested for our engines and skipped for a foreign one, never passed") {
  CHECK(judged(with(f32({4}, {1, 2, -3, 4}))) == Verdict::passed);
  Trace empty;
  empty.steps.push_back({});
  CHECK(judged(empty) == Verdict::untested);
  CHECK(judged(empty, false) == Verdict::skipped);
}

TEST_CASE("judge: a wrong dtype fails") {
  CHECK(judged(with(f64({4}, {1, 2, -3, 4}))) == Verdict::failed);
}

TEST_CASE("judge: a missing tolerance is an error that names the op, never a default") {
  const Tolerances none = Tolerances::parse("version: 1\nops: []\ngates: []\n", "empty.yaml");
  CHECK_THROWS_WITH(judge(with(f32({4}, {1, 2, -3, 4})), OneOp(four_values()), none),
                    Catch::Contains("no tolerance for linear x f32 x cpu"));
}

TEST_CASE("judge: a trace of other weights is refused") {
  Trace trace = with(f32({4}, {1, 2, -3, 4}));
  trace.metadata.weight_hash = "abd";
  CHECK_THROWS_WITH(judge(trace, OneOp(four_values()), one_row()),
                    Catch::Contains("recorded on other weights"));
}

TEST_CASE("judge: a trace with more layers than the model is refused") {
  Trace trace = with(f32({4}, {1, 2, -3, 4}));
  trace.steps[0].tensors.emplace(OpSite{Probe::o_proj, 1}, f32({4}, {1, 2, -3, 4}));
  CHECK_THROWS_WITH(judge(trace, OneOp(four_values()), one_row()), Catch::Contains("the model has 1 layers"));
}

TEST_CASE("verdict: one bad verdict among many decides the exit status") {
  const auto status = [](std::initializer_list<Verdict> verdicts) {
    VerdictCounts counts;
    for (const Verdict verdict : verdicts) counts.add(verdict);
    return exit_status(counts);
  };
  CHECK(status({Verdict::passed, Verdict::skipped}) == kExitPassed);
  CHECK(status({}) == kExitNothingJudged);
  CHECK(status({Verdict::skipped}) == kExitNothingJudged);
  CHECK(status({Verdict::passed, Verdict::untested}) == kExitFailed);
  CHECK(status({Verdict::passed, Verdict::mistrusted}) == kExitFailed);
  CHECK(status({Verdict::passed, Verdict::error}) == kExitFailed);
  CHECK(status({Verdict::passed, Verdict::failed}) == kExitFailed);
}
