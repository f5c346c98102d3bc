// The reference in bf16 and f16: judged clean by its own gates; bits that do not depend on how a text is cut
// into steps; and mistakes of half types, planted in one op of its traces, beyond them and named.
#include <cmath>
#include <functional>

#include <catch2/catch.hpp>

#include "harness/half.h"
#include "harness/judge.h"
#include "harness/tolerance.h"
#include "harness/trace.h"
#include "reference/engine.h"
#include "reference/replay.h"
#include "tests/reference/fixtures.h"
#include "tests/support/temporary_directory.h"

using namespace plumbline;
using test::some_tokens;

namespace {

const Tolerances& tolerances() {
  static const Tolerances loaded = Tolerances::load(test::fixture("tolerances.yaml"));
  return loaded;
}

Trace record(const std::filesystem::path& model, DType dtype, std::vector<std::int64_t> split,
             TokenId vocab) {
  const auto engine = reference::make_engine(model, {dtype, 1});
  const auto cache = engine->make_cache({CacheKind::concat, 1, 0, dtype});
  std::int64_t tokens = 0;
  for (const std::int64_t count : split) tokens += count;
  return record_steps(*engine, *cache, some_tokens(static_cast<std::size_t>(tokens), vocab), split);
}

void check_clean(const Trace& trace, const Replayer& replayer) {
  const Judgement judgement = judge(trace, replayer, tolerances(), {});
  CHECK(judgement.counts().passed > 100);
  for (const OpResult* op : judgement.wrong()) {
    INFO(site_name(op->site) << ": " << op->reason);
    CHECK((op->verdict == Verdict::mistrusted && op->reason.find("constant") != std::string::npos));
  }
}

std::uint16_t to_half(double value, DType dtype) {
  const auto f32 = static_cast<float>(value);
  return dtype == DType::bf16 ? f32_to_bf16(f32) : f32_to_f16(f32);
}
double rounded(double value, DType dtype) {
  const std::uint16_t bits = to_half(value, dtype);
  return static_cast<double>(dtype == DType::bf16 ? bf16_to_f32(bits) : f16_to_f32(bits));
}

// tiny's trace in a half type, with one op's output exchanged.
struct HalfTiny {
  explicit HalfTiny(DType type)
      : dtype(type),
        trace(record(test::tiny_model(), type, {38, 2}, 1000)),
        replayer(reference::make_replayer(test::tiny_model(), type)) {}

  std::vector<double> get(OpSite site) const {
    const TensorView view = trace.steps.at(0).tensors.at(site).view();
    std::vector<double> values(static_cast<std::size_t>(view.elements()));
    read_f64(view, 0, values);
    return values;
  }
  std::vector<double> weight(const std::string& name) const {
    static const auto weights = test::read_tensors(test::tiny_model() / "model.safetensors");
    std::vector<double> values(static_cast<std::size_t>(weights.at(name).elements()));
    read_f64(weights.at(name).view(), 0, values);
    for (double& value : values) value = rounded(value, dtype);
    return values;
  }
  // What the judge says of it: "passed", or the suspects that fit.
  std::string judged(OpSite site, const std::vector<double>& values) {
    Tensor& tensor = trace.steps.at(0).tensors.at(site);
    const Tensor before = tensor;
    const auto bits = tensor.values<std::uint16_t>();
    REQUIRE(bits.size() == values.size());
    for (std::size_t i = 0; i < values.size(); ++i) bits[i] = to_half(values[i], dtype);
    const TraceStepView step(trace, 0);
    const OpResult result =
        judge_op(site, step, *replayer, tolerances(), dtype, DeviceKind::cpu, JudgeOptions{});
    std::string said(verdict_name(result.verdict));
    if (result.verdict == Verdict::failed)
      said = verdict_of(suspects_of(site, step, *replayer, tolerances(), dtype, DeviceKind::cpu));
    tensor = before;
    return said;
  }

  DType dtype;
  Trace trace;
  std::unique_ptr<Replayer> replayer;
};

constexpr std::size_t kHidden = 120;

}  // namespace

TEST_CASE("half types: the engine's traces are judged clean", "[reference][half]") {
  const DType dtype = GENERATE(DType::bf16, DType::f16);
  check_clean(record(test::tiny_model(), dtype, {40, 1, 1, 20}, 1000),
              *reference::make_replayer(test::tiny_model(), dtype));
  TemporaryDirectory directory;  // sliding layers, and YaRN
  nlohmann::json config = test::small_config();
  if (GENERATE(false, true)) config["rope_scaling"] = {{"type", "yarn"}, {"factor", 4.0}};
  test::write_random_checkpoint(directory.path(), config, 5);
  check_clean(record(directory.path(), dtype, {7, 1, 4}, 50),
              *reference::make_replayer(directory.path(), dtype));
}

TEST_CASE("half types: a row has the same bits in whatever steps", "[reference][half]") {
  const DType dtype = GENERATE(DType::bf16, DType::f16);
  const Trace whole = record(test::tiny_model(), dtype, {70}, 1000);
  const Trace parts = record(test::tiny_model(), dtype, {33, 1, 36}, 1000);
  for (const auto& [site, tensor] : parts.steps.back().tensors) {
    if (tensor.dtype() != dtype || tensor.shape()[0] != 36) continue;
    const TensorView rows = whole.steps[0].tensors.at(site).view().last_rows(36);
    std::int64_t different = 0;
    for (std::int64_t i = 0; i < rows.elements(); ++i)
      different += element_as_f64(rows, i) != element_as_f64(tensor.view(), i) ? 1 : 0;
    INFO(site_name(site));
    CHECK(different == 0);
  }
}

TEST_CASE("half types: says where it rounds, and hands out f32 logits", "[reference][half]") {
  const auto engine = reference::make_engine(test::tiny_model(), {DType::bf16, 1});
  CHECK(engine->info().storage == DType::bf16);
  CHECK(engine->info().compute == DType::f32);
  CHECK(engine->info().precision.rounding == Rounding::each);
  const std::vector<TokenId> tokens = some_tokens(5);
  const std::vector<std::int64_t> positions = test::counted(0, 5);
  const SequenceStep step{0, tokens, positions, LogitsWanted::all};
  const auto cache = engine->make_cache({CacheKind::concat, 1, 0, DType::bf16});
  NullSink sink;
  const Tensor logits = engine->to_host(engine->forward(std::span(&step, 1), *cache, sink).steps[0]);
  const Trace trace = record_prefill(*engine, tokens);
  const Tensor& recorded = trace.steps[0].tensors.at({Probe::lm_head, -1});
  CHECK(logits.dtype() == DType::f32);
  CHECK(recorded.dtype() == DType::bf16);
  CHECK(test::largest_difference(logits.view(), recorded.view()) == 0.0);
  CHECK_THROWS_AS(engine->make_cache({CacheKind::concat, 1, 0, DType::f32}), Error);
}

TEST_CASE("half types: roundings in other places, and too many, are beyond the gates", "[reference][half]") {
  HalfTiny tiny(GENERATE(DType::bf16, DType::f16));
  const DType dtype = tiny.dtype;
  const std::string type(dtype_name(dtype));
  const auto round = [&](double value) { return rounded(value, dtype); };

  SECTION("norm") {
    const OpSite site{Probe::input_layernorm, 1};
    const std::vector<double> x = tiny.get({Probe::mlp_residual, 0});
    const std::vector<double> w = tiny.weight("model.layers.1.input_layernorm.weight");
    const auto normed = [&](const std::function<double(double x, double root, double w)>& formula,
                            bool half_squares) {
      std::vector<double> y;
      for (std::size_t row = 0; row < x.size() / kHidden; ++row) {
        double sum = 0;
        for (std::size_t i = 0; i < kHidden; ++i) {
          const double square = x[row * kHidden + i] * x[row * kHidden + i];
          sum = half_squares ? round(sum + square) : sum + square;
        }
        const double root = std::sqrt(sum / kHidden + 1e-6);
        for (std::size_t i = 0; i < kHidden; ++i) y.push_back(formula(x[row * kHidden + i], root, w[i]));
      }
      return y;
    };
    const auto right = [&](double a, double root, double b) { return round(a / root) * b; };
    CHECK(tiny.judged(site, normed(right, false)) == "passed");
    CHECK(tiny.judged(site, normed([](double a, double root, double b) { return a / root * b; }, false)) ==
          "rounded once only");
    CHECK(tiny.judged(site, normed(right, true)).find("sum of squares in " + type) != std::string::npos);
    tiny.trace.metadata.precision.rounding = Rounding::once;
    CHECK(tiny.judged(site, normed(right, false)) == "rounded after each operation");
  }
  SECTION("silu") {
    const OpSite site{Probe::act, 1};
    const std::vector<double> gate = tiny.get({Probe::gate_proj, 1}), up = tiny.get({Probe::up_proj, 1});
    const auto formed = [&](const std::function<double(double g, double u)>& formula) {
      std::vector<double> y;
      for (std::size_t i = 0; i < gate.size(); ++i) y.push_back(formula(gate[i], up[i]));
      return y;
    };
    const auto silu = [](double g) { return g / (1 + std::exp(-g)); };
    CHECK(tiny.judged(site, formed([&](double g, double u) { return round(silu(g)) * u; })) == "passed");
    CHECK(tiny.judged(site, formed([&](double g, double u) { return silu(g) * u; })) == "rounded once only");
    CHECK(tiny.judged(site, formed([&](double g, double u) {
                        return round(0.5 * g * (1 + std::erf(g / std::sqrt(2)))) * u;
                      })) == "GELU instead of SiLU");
    tiny.trace.metadata.precision.rounding = Rounding::once;
    CHECK(tiny.judged(site, formed([&](double g, double u) { return round(silu(g)) * u; })) ==
          "rounded after each operation");
  }
  SECTION("rotation") {
    const OpSite site{Probe::q_rope, 1};
    const std::vector<double> q = tiny.get({Probe::q_proj, 1}), cos = tiny.get({Probe::cos, -1}),
                              sin = tiny.get({Probe::sin, -1});
    constexpr std::size_t kDim = 20;
    const std::size_t heads = kHidden / kDim;
    const auto rotated = [&](bool each, bool pairs) {
      std::vector<double> y;
      for (std::size_t i = 0; i < q.size(); ++i) {
        const std::size_t c = i % kDim, row = i / (heads * kDim);
        const std::size_t partner = pairs ? i - c + (c ^ 1) : i - c + (c + kDim / 2) % kDim;
        const bool first = pairs ? c % 2 == 0 : c < kDim / 2;
        const std::size_t at = row * kDim + (pairs ? c / 2 : c);
        const double p1 = q[i] * cos[at], p2 = (first ? -1 : 1) * q[partner] * sin[at];
        y.push_back(each ? round(p1) + round(p2) : p1 + p2);
      }
      return y;
    };
    CHECK(tiny.judged(site, rotated(true, false)) == "passed");
    CHECK(tiny.judged(site, rotated(false, false)) == "rounded once only");
    CHECK(tiny.judged(site, rotated(true, true)) == "rotary pairs interleaved");
    tiny.trace.metadata.precision.rounding = Rounding::once;
    CHECK(tiny.judged(site, rotated(true, false)) == "rounded after each operation");
    CHECK(tiny.judged(site, rotated(false, false)) == "passed");
  }
  SECTION("sums of a linear layer") {
    const OpSite site{Probe::down_proj, 1};
    const std::vector<double> x = tiny.get({Probe::act, 1});
    const std::vector<double> w = tiny.weight("model.layers.1.mlp.down_proj.weight");
    const std::size_t in = w.size() / kHidden;
    const auto summed = [&](bool half_sums, std::size_t terms) {
      std::vector<double> y;
      for (std::size_t row = 0; row < x.size() / in; ++row) {
        for (std::size_t o = 0; o < kHidden; ++o) {
          double sum = 0;
          for (std::size_t i = 0; i < terms; ++i) {
            sum += x[row * in + i] * w[o * in + i];
            if (half_sums) sum = round(sum);
          }
          y.push_back(sum);
        }
      }
      return y;
    };
    CHECK(tiny.judged(site, summed(false, in)) == "passed");
    CHECK(tiny.judged(site, summed(true, in)) == type + " accumulation");
    CHECK(tiny.judged(site, summed(false, in - 1)) == "last product lost");
  }
}

TEST_CASE("f64: judged in f64's own unit, and f32 only where transformers computes so", "[reference][half]") {
  const auto replayer = reference::make_replayer(test::tiny_model(), DType::f64);
  Trace trace = record(test::tiny_model(), DType::f64, {19, 1}, 1000);
  check_clean(trace, *replayer);
  trace.metadata.precision.rounding = Rounding::each;
  check_clean(trace, *replayer);
  const auto judged = [&](OpSite site, Rounding rounding) {  // its output rounded to f32
    trace.metadata.precision.rounding = rounding;
    Tensor& tensor = trace.steps.at(0).tensors.at(site);
    const Tensor before = tensor;
    for (double& value : tensor.values<double>()) value = static_cast<double>(static_cast<float>(value));
    const Verdict verdict = judge_op(site, TraceStepView(trace, 0), *replayer, tolerances(), DType::f64,
                                     DeviceKind::cpu, JudgeOptions{})
                                .verdict;
    tensor = before;
    return verdict;
  };
  for (const OpSite site :
       {OpSite{Probe::q_proj, 1}, OpSite{Probe::q_rope, 1}, OpSite{Probe::scores, 1},
        OpSite{Probe::context, 1}, OpSite{Probe::act, 1}, OpSite{Probe::attn_residual, 1}}) {
    INFO(site_name(site));
    CHECK(judged(site, Rounding::each) == Verdict::failed);
    CHECK(judged(site, Rounding::once) == Verdict::failed);
  }
  for (const OpSite site :
       {OpSite{Probe::input_layernorm, 1}, OpSite{Probe::cos, -1}, OpSite{Probe::probs, 1}}) {
    INFO(site_name(site));
    CHECK(judged(site, Rounding::each) == Verdict::passed);
    CHECK(judged(site, Rounding::once) == Verdict::failed);
  }
}
