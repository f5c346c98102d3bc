// Outputs in half types: what their gates add to a bound, what an overflow leaves to be judged, and which
// tolerance row judges an op that is kept in another dtype than the storage.
#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

#include "harness/half.h"
#include "harness/judge.h"
#include "harness/tolerance_row.h"

using namespace plumbline;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

Tensor f64(std::vector<double> values) {
  return Tensor::from<double>(DType::f64, Shape{static_cast<std::int64_t>(values.size())}, values);
}

// Values that the type holds, or infinity.
Tensor half(DType dtype, const std::vector<double>& values) {
  Tensor tensor(dtype, Shape{static_cast<std::int64_t>(values.size())});
  const auto bits = tensor.values<std::uint16_t>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto value = static_cast<float>(values[i]);
    bits[i] = dtype == DType::bf16 ? f32_to_bf16(value) : f32_to_f16(value);
  }
  return tensor;
}

Tolerance bounded(double lambda) {
  Tolerance tolerance;
  tolerance.rule = Rule::bound;
  tolerance.lambda = lambda;
  return tolerance;
}

Replay answer(std::vector<double> expected, double bound) {
  Replay replay;
  replay.bound = f64(std::vector<double>(expected.size(), bound));
  replay.expected = f64(std::move(expected));
  return replay;
}

OpResult compare(const Tensor& actual, const Replay& replay, const Tolerance& tolerance,
                 OpClass op = OpClass::linear) {
  return compare_op(actual.view(), replay, tolerance, op, 0.0);
}

}  // namespace

TEST_CASE("half gates: half a spacing, the roundings, and lambda B") {
  Replay replay = answer({1.0, 3.0}, 1e-4);
  const Tolerance tolerance = bounded(2);
  // Beside 1 bf16 is spaced by 2^-7: h is 2^-8.
  CHECK(compare(half(DType::bf16, {1.0 + 0x1p-7, 3.0}), replay, tolerance).verdict == Verdict::failed);
  replay.roundings = f64({0x1p-8, 0.0});
  const OpResult passed = compare(half(DType::bf16, {1.0 + 0x1p-7, 3.0}), replay, tolerance);
  CHECK(passed.verdict == Verdict::passed);
  CHECK(passed.gate == Approx(0x1p-8 + 0x1p-8 + 2e-4).epsilon(1e-12));
  replay.roundings = f64({0x1p-8 - 3e-4, 0.0});
  CHECK(compare(half(DType::bf16, {1.0 + 0x1p-7, 3.0}), replay, tolerance).verdict == Verdict::failed);
}

TEST_CASE("half gates: the share that differs from the emulated output, from 480 elements on") {
  const int places = GENERATE(479, 480, 1000);
  std::vector<double> expected(static_cast<std::size_t>(places), 1.0), given = expected;
  expected.back() = given.back() = 2.0;  // no constant output
  Replay replay = answer(expected, 1e-3);
  replay.emulated = f64(expected);
  replay.roundings = f64(std::vector<double>(expected.size(), 0x1p-8));
  Tolerance tolerance = bounded(2);
  tolerance.largest_differing = 0.05;
  const auto differ = [&](int count) {
    for (int i = 0; i < count; ++i) given[static_cast<std::size_t>(i)] = 1.0 + 0x1p-7;
    return compare(half(DType::bf16, given), replay, tolerance);
  };
  const OpResult few = differ(places / 20);
  CHECK(few.verdict == Verdict::passed);
  CHECK(few.differing == (places < 480 ? 0.0 : static_cast<double>(places / 20) / places));
  const OpResult many = differ(places / 20 + 1);
  CHECK(many.verdict == (places < 480 ? Verdict::passed : Verdict::failed));
  if (places >= 480) CHECK_THAT(many.reason, Catch::Contains("are not what its roundings give"));
  replay.emulated = Tensor();
  CHECK(compare(half(DType::bf16, given), replay, tolerance).verdict == Verdict::passed);
}

TEST_CASE("half gates: infinity is right where rounding may give it, and nowhere else") {
  const Tolerance tolerance = bounded(2);
  const Replay replay = answer({65519.0, 65525.0, -70000.0, 1.0}, 1.0);
  CHECK(compare(half(DType::f16, {65504.0, kInf, -kInf, 1.0}), replay, tolerance).verdict == Verdict::passed);
  // 65,519 and two units of bound may be 65,520, which f16 rounds to infinity.
  CHECK(compare(half(DType::f16, {kInf, kInf, -kInf, 1.0}), replay, tolerance).verdict == Verdict::passed);
  CHECK(compare(half(DType::f16, {65504.0, kInf, kInf, 1.0}), replay, tolerance).verdict == Verdict::failed);
  CHECK(compare(half(DType::f16, {65504.0, kInf, -65504.0, 1.0}), replay, tolerance).verdict ==
        Verdict::failed);
  CHECK(compare(half(DType::f16, {65504.0, kInf, -kInf, kInf}), replay, tolerance).verdict ==
        Verdict::failed);
  CHECK(compare(half(DType::f16, {kNan, kInf, -kInf, 1.0}), replay, tolerance).verdict == Verdict::failed);
  // bf16 reaches as far as f32.
  CHECK(compare(half(DType::bf16, {kInf, kInf, -kInf, 1.0}), replay, tolerance).verdict == Verdict::failed);
  CHECK(first_overflow(DType::f16) == 65520.0);
  CHECK(std::isinf(bf16_to_f32(f32_to_bf16(static_cast<float>(first_overflow(DType::bf16))))));
}

TEST_CASE("half gates: what follows an overflow is skipped, and no wrong value beside it passes") {
  const Tolerance tolerance = bounded(2);
  const Replay replay = answer({kNan, 2.0, 3.0}, 1e-3);
  for (const double anything : {kNan, kInf, 1.0}) {
    const OpResult skipped = compare(half(DType::f16, {anything, 2.0, 3.0}), replay, tolerance);
    CHECK(skipped.verdict == Verdict::skipped);
    CHECK_THAT(skipped.reason, Catch::Contains("1 places cannot be judged"));
  }
  CHECK(compare(half(DType::f16, {kNan, kNan, 3.0}), replay, tolerance).verdict == Verdict::failed);
  CHECK(compare(half(DType::f16, {kNan, 2.5, 3.0}), replay, tolerance).verdict == Verdict::failed);
  const Tensor in_f32 = Tensor::from<float>(DType::f32, Shape{3}, std::vector<float>{NAN, 2.0f, 3.0f});
  CHECK(compare(in_f32, replay, tolerance).verdict == Verdict::failed);

  // A copy of NaN is NaN.
  const Replay copy = answer({kNan, 2.0, 3.0}, 0.0);
  const Tolerance exact;
  CHECK(compare(half(DType::f16, {kNan, 2.0, 3.0}), copy, exact).verdict == Verdict::skipped);
  CHECK(compare(half(DType::f16, {1.0, 2.0, 3.0}), copy, exact).verdict == Verdict::failed);

  // An intermediate value that overflows: its roundings are infinite.
  Replay within = answer({1.0, 2.0, 3.0}, 1e-3);
  within.roundings = f64({kInf, 0.0, 0.0});
  within.emulated = f64({kInf, 2.0, 3.0});
  CHECK(compare(half(DType::f16, {1.0, 2.0, 3.0}), within, tolerance).verdict == Verdict::passed);
  CHECK(compare(half(DType::f16, {kInf, 2.0, 3.0}), within, tolerance).verdict == Verdict::passed);
  CHECK(compare(half(DType::f16, {7.0, 2.0, 3.0}), within, tolerance).verdict == Verdict::skipped);
  within.emulated = f64({7.0, 2.0, 3.0});  // near to overflow, and not beyond
  CHECK(compare(half(DType::f16, {7.0, 2.0, 3.0}), within, tolerance).verdict == Verdict::passed);
  CHECK(compare(half(DType::f16, {7.0, 2.5, 3.0}), within, tolerance).verdict == Verdict::failed);
}

TEST_CASE("half gates: a softmax of an infinity spoils its row, forbidden places too") {
  Replay replay = answer({kNan, kNan, 0.25, 0.75}, 1e-3);
  replay.allowed =
      Tensor::from<std::uint8_t>(DType::boolean, Shape{4}, std::vector<std::uint8_t>{1, 0, 1, 1});
  const Tolerance tolerance = bounded(7);
  CHECK(compare(half(DType::f16, {kNan, kNan, 0.25, 0.75}), replay, tolerance, OpClass::softmax).verdict ==
        Verdict::skipped);
  CHECK(compare(half(DType::f16, {kNan, 0.5, 0.25, 0.75}), replay, tolerance, OpClass::softmax).verdict ==
        Verdict::failed);
}

TEST_CASE("precision: names, and what is kept in which dtype") {
  CHECK(rounding_from_name("each") == Rounding::each);
  CHECK(rounding_name(rounding_from_name("once")) == "once");
  CHECK_THROWS_WITH(rounding_from_name("twice"), Catch::Contains("unknown rounding 'twice'"));
  const Precision precision{DType::f32, DType::f16, std::nullopt, Rounding::once};
  CHECK(kept_in(Probe::cos, DType::bf16, precision) == DType::f32);
  CHECK(kept_in(Probe::scores, DType::bf16, precision) == DType::f16);
  CHECK(kept_in(Probe::probs, DType::bf16, precision) == DType::bf16);
  CHECK(kept_in(Probe::q_rope, DType::bf16, precision) == DType::bf16);
  CHECK(kept_in(Probe::inv_freq, DType::bf16, precision) == DType::f32);
}

TEST_CASE("tolerance row: an op is judged by the dtype that its output is kept in") {
  const Tolerances file =
      Tolerances::load(std::filesystem::path(PLUMBLINE_SOURCE_DIR) / "fixtures" / "tolerances.yaml");
  Trace trace;
  trace.metadata.storage = DType::bf16;
  trace.metadata.precision = {DType::f32, DType::f32, std::nullopt, Rounding::once};
  trace.metadata.cache = DType::f16;
  trace.steps.push_back({});
  trace.steps[0].tensors.emplace(OpSite{Probe::probs, 0}, Tensor(DType::bf16, Shape{1, 1, 1}));
  const TraceStepView step(trace, 0);
  CHECK(kept_dtype({Probe::scores, 0}, step, DType::bf16) == DType::f32);
  CHECK(kept_dtype({Probe::probs, 0}, step, DType::bf16) == DType::bf16);  // as recorded
  CHECK(kept_dtype({Probe::past_key, 0}, step, DType::bf16) == DType::f16);
  CHECK(kept_dtype({Probe::input_ids, -1}, step, DType::bf16) == DType::i64);
  const auto row = [&](OpSite site, OpClass op) {
    return &tolerance_of(site, op, step, DType::bf16, DeviceKind::cpu, file);
  };
  CHECK(row({Probe::scores, 0}, OpClass::scores) == &file.op(OpClass::scores, DType::f32, DeviceKind::cpu));
  CHECK(row({Probe::context, 0}, OpClass::context) ==
        &file.op(OpClass::context, DType::bf16, DeviceKind::cpu));
  CHECK(row({Probe::input_ids, -1}, OpClass::token_ids) ==
        &file.op(OpClass::token_ids, DType::f32, DeviceKind::cpu));
}
