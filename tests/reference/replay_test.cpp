// Replays of the engine's own traces: inside their bounds, outside them once something small is planted; and
// what happens where probes, rows or caches are missing.
#include "reference/replay.h"

#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

#include "harness/judge.h"
#include "harness/tolerance.h"
#include "harness/trace.h"
#include "reference/engine.h"
#include "tests/reference/fixtures.h"
#include "tests/support/temporary_directory.h"

using namespace plumbline;
using Catch::Contains;
using test::error_of;
using test::some_tokens;

namespace {

const Tolerances& tolerances() {
  static const Tolerances loaded = Tolerances::load(test::fixture("tolerances.yaml"));
  return loaded;
}

// Largest |actual - expected| / (lambda B); for exact ops 0, or infinity for any difference.
double share(const Replay& replay, const TensorView& actual, OpClass op) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (!(actual.shape == replay.expected.shape())) return kInfinity;
  const double lambda = tolerances().op(op, DType::f32, DeviceKind::cpu).lambda;
  double largest = 0;
  for (std::int64_t i = 0; i < actual.elements(); ++i) {
    if (!replay.allowed.empty() && element_as_f64(replay.allowed.view(), i) == 0.0) continue;
    const double error = std::fabs(element_as_f64(actual, i) - element_as_f64(replay.expected.view(), i));
    const double limit = replay.bound.empty() ? 0.0 : lambda * element_as_f64(replay.bound.view(), i);
    const double part = error == 0.0 ? 0.0 : error / limit;
    largest = std::max(largest, std::isfinite(part) ? part : kInfinity);
  }
  return largest;
}

double share_of(const Replayer& replayer, const RecordedStep& step, OpSite site, DType storage = DType::f32) {
  std::string why;
  const auto replay = replayer.replay(site, step, storage, why);
  INFO(site_name(site) << " " << why);
  REQUIRE(replay.has_value());
  return share(*replay, *step.find(site), replayer.judged_as(site, step));
}

// The worst share of each op class over all steps; every op must keep its bound.
std::map<OpClass, double> worst_shares(const Replayer& replayer, const Trace& trace,
                                       DType storage = DType::f32) {
  std::map<OpClass, double> worst;
  for (std::size_t i = 0; i < trace.steps.size(); ++i) {
    const TraceStepView step(trace, i);
    for (const OpSite site : replayer.sites()) {
      if (step.find(site) == nullptr) continue;
      const double part = share_of(replayer, step, site, storage);
      INFO(site_name(site) << " of step " << i << " uses " << part);
      CHECK(part <= 1.0);
      double& entry = worst[replayer.judged_as(site, step)];
      entry = std::max(entry, part);
    }
  }
  return worst;
}

Trace record(const std::filesystem::path& model, std::size_t tokens, std::vector<std::int64_t> split,
             TokenId vocab, DType dtype = DType::f32) {
  const auto engine = reference::make_engine(model, {dtype, 1});
  const auto cache = engine->make_cache({CacheKind::concat, 1, 0, dtype});
  return record_steps(*engine, *cache, some_tokens(tokens, vocab), split);
}

struct Tiny {
  Trace trace = record(test::tiny_model(), 40, {38, 2}, 1000);
  std::unique_ptr<Replayer> replayer = reference::make_replayer(test::tiny_model(), DType::f32);
  Tensor& at(OpSite site, std::size_t step = 0) { return trace.steps.at(step).tensors.at(site); }
  double share(OpSite site, std::size_t step = 0) const {
    return share_of(*replayer, TraceStepView(trace, step), site);
  }
  std::optional<Replay> replay(OpSite site, std::string& why, std::size_t step = 0) const {
    return replayer->replay(site, TraceStepView(trace, step), DType::f32, why);
  }
};

}  // namespace

TEST_CASE("replay: the f32 engine's trace of tiny keeps every bound, with room to spare",
          "[reference][replay]") {
  const auto replayer = reference::make_replayer(test::tiny_model(), DType::f32);
  const Trace trace = record(test::tiny_model(), 62, {40, 1, 1, 20}, 1000);
  const auto worst = worst_shares(*replayer, trace);
  CHECK(worst.size() == 15);
  for (const auto& [op, part] : worst) {
    INFO(op_class_name(op) << " uses " << part);
    CHECK(part <= 0.5);
  }
}

TEST_CASE("replay: sliding layers and YaRN keep every bound", "[reference][replay]") {
  TemporaryDirectory directory;
  nlohmann::json config = test::small_config();
  if (GENERATE(false, true)) config["rope_scaling"] = {{"type", "yarn"}, {"factor", 4.0}};
  test::write_random_checkpoint(directory.path(), config, 5);
  const auto replayer = reference::make_replayer(directory.path(), DType::f32);
  const auto worst = worst_shares(*replayer, record(directory.path(), 12, {7, 1, 4}, 50));
  CHECK(worst.size() == 15);
}

TEST_CASE("replay: the f64 engine agrees to f64's rounding", "[reference][replay]") {
  const auto replayer = reference::make_replayer(test::tiny_model(), DType::f64);
  for (const auto& [op, part] :
       worst_shares(*replayer, record(test::tiny_model(), 20, {19, 1}, 1000, DType::f64), DType::f64)) {
    INFO(op_class_name(op));
    CHECK(part <= 0.5);  // in the unit of f64, but inv_freq
  }
}

TEST_CASE("replay: a fused kernel's trace is judged by its span", "[reference][replay]") {
  Tiny tiny;
  for (int layer = 0; layer < 5; ++layer) {
    for (TraceStep& step : tiny.trace.steps) {
      step.tensors.erase({Probe::scores, layer});
      step.tensors.erase({Probe::probs, layer});
    }
  }
  const auto worst = worst_shares(*tiny.replayer, tiny.trace);
  CHECK(worst.contains(OpClass::fused_attention));
  CHECK_FALSE(worst.contains(OpClass::context));
  CHECK(worst.at(OpClass::fused_attention) <= 0.5);
  // One key's value, forgotten in one head: the bound sees it.
  tiny.at({Probe::context, 3}).values<float>()[37 * 120 + 25] += 3e-5f;
  CHECK(tiny.share({Probe::context, 3}) > 1.0);
}

TEST_CASE("replay: small planted changes leave the bound of their op", "[reference][replay]") {
  Tiny tiny;
  const std::size_t row = 20;
  const auto scaled = [&](OpSite site, std::size_t i, float factor) {
    tiny.at(site).values<float>()[i] *= factor;
  };
  struct Planted {
    OpSite site;
    std::size_t index;
    float factor;
  };
  const std::vector<Planted> planted{
      {{Probe::embed_tokens, -1}, row * 120 + 3, 1.0f + 2e-7f},
      {{Probe::cos, -1}, row * 20 + 3, 1.0f + 1e-6f},
      {{Probe::input_layernorm, 2}, row * 120 + 5, 1.0f + 4e-6f},
      {{Probe::attn_residual, 1}, row * 120 + 5, 1.0f + 2e-7f},
      {{Probe::mlp_residual, 4}, row * 120 + 5, 1.0f - 2e-7f},
      {{Probe::past_key, 2}, row * 40 + 9, 1.0f + 2e-7f},
      {{Probe::past_value, 2}, row * 40 + 9, 1.0f + 2e-7f},
      {{Probe::act, 3}, row * 328 + 9, 1.0f + 4e-6f},
      {{Probe::inv_freq, -1}, 3, 1.0f + 2e-6f},
      {{Probe::probs, 0}, (2 * 38 + row) * 38 + 4, 1.0f + 2e-5f},
  };
  for (const Planted& change : planted) {
    INFO(site_name(change.site));
    const Tensor before = tiny.at(change.site);
    CHECK(tiny.share(change.site) <= 1.0);
    scaled(change.site, change.index, change.factor);
    CHECK(tiny.share(change.site) > 1.0);
    tiny.at(change.site) = before;
  }
}

TEST_CASE("replay: a lost product, a missing bias and a wrong scale leave the bound", "[reference][replay]") {
  Tiny tiny;
  const auto weights = test::read_tensors(test::tiny_model() / "model.safetensors");
  const auto x = tiny.at({Probe::input_layernorm, 1}).values<float>();
  const auto w = weights.at("model.layers.1.self_attn.q_proj.weight").values<float>();
  const auto b = weights.at("model.layers.1.self_attn.q_proj.bias").values<float>();
  const OpSite q{Probe::q_proj, 1};
  const Tensor good = tiny.at(q);
  int caught = 0;
  for (std::size_t output = 0; output < 120; ++output) {
    tiny.at(q) = good;
    tiny.at(q).values<float>()[30 * 120 + output] -= x[30 * 120 + 7] * w[output * 120 + 7];
    caught += tiny.share(q) > 1.0 ? 1 : 0;
  }
  CHECK(caught >= 115);
  tiny.at(q) = good;
  for (std::size_t i = 0; i < 38 * 120; ++i) tiny.at(q).values<float>()[i] -= b[i % 120];
  CHECK(tiny.share(q) > 100.0);

  for (float& score : tiny.at({Probe::scores, 2}).values<float>()) score *= std::sqrt(20.0f / 21.0f);
  CHECK(tiny.share({Probe::scores, 2}) > 100.0);
}

TEST_CASE("replay: rows that were not recorded are left out from the front", "[reference][replay]") {
  Tiny tiny;
  const auto keep_last = [&](OpSite site, std::int64_t rows) {
    tiny.at(site) = copy_host(tiny.at(site).view().last_rows(rows));
  };
  keep_last({Probe::lm_head, -1}, 1);
  CHECK(tiny.share({Probe::lm_head, -1}) <= 1.0);
  keep_last({Probe::q_proj, 0}, 5);
  keep_last({Probe::q_rope, 0}, 2);
  CHECK(tiny.share({Probe::q_proj, 0}) <= 1.0);
  CHECK(tiny.share({Probe::q_rope, 0}) <= 1.0);
  keep_last({Probe::position_ids, -1}, 3);
  CHECK(tiny.share({Probe::position_ids, -1}) <= 1.0);
  keep_last({Probe::attention_mask, -1}, 3);
  CHECK(tiny.share({Probe::attention_mask, -1}) <= 1.0);
  keep_last({Probe::norm, -1}, 1);
  keep_last({Probe::mlp_residual, 4}, 4);
  CHECK(tiny.share({Probe::norm, -1}) <= 1.0);
  std::string why;
  CHECK_FALSE(tiny.replay({Probe::scores, 0}, why).has_value());
  CHECK_THAT(why, Contains("model.layers.0.self_attn.q_rope was recorded for fewer rows"));
}

TEST_CASE("replay: exact ops fill gaps, others say what is missing", "[reference][replay]") {
  Tiny tiny;
  auto& tensors = tiny.trace.steps.at(0).tensors;
  for (const OpSite site :
       {OpSite{Probe::embed_tokens, -1}, OpSite{Probe::attn_residual, 0}, OpSite{Probe::mlp_residual, 0},
        OpSite{Probe::past_key, 0}, OpSite{Probe::past_value, 0}, OpSite{Probe::input_ids, -1},
        OpSite{Probe::cos, -1}}) {
    tensors.erase(site);
  }
  for (const OpSite site :
       {OpSite{Probe::input_layernorm, 0}, OpSite{Probe::post_attention_layernorm, 0},
        OpSite{Probe::input_layernorm, 1}, OpSite{Probe::scores, 0}, OpSite{Probe::context, 0},
        OpSite{Probe::attn_residual, 1}, OpSite{Probe::q_rope, 3}}) {
    INFO(site_name(site));
    CHECK(tiny.share(site) <= 1.0);
  }
  tensors.erase({Probe::inv_freq, -1});  // the bound of an engine's own table is wider
  CHECK(tiny.share({Probe::q_rope, 3}) <= 1.0);
  CHECK(tiny.share({Probe::sin, -1}) <= 1.0);

  tensors.erase({Probe::down_proj, 0});
  tensors.erase({Probe::scores, 1});
  std::string why;
  CHECK_FALSE(tiny.replay({Probe::input_layernorm, 1}, why).has_value());
  CHECK_THAT(why, Contains("model.layers.0.mlp.down_proj was not recorded"));
  CHECK_FALSE(tiny.replay({Probe::probs, 1}, why).has_value());
  CHECK_THAT(why, Contains("model.layers.1.self_attn.scores was not recorded"));
  tensors.erase({Probe::past_key, 2});
  tensors.erase({Probe::k_rope, 3});
  CHECK(tiny.share({Probe::past_value, 2}, 1) == 0.0);
  CHECK_FALSE(tiny.replay({Probe::past_key, 2}, why, 1).has_value());
  CHECK_THAT(why, Contains("the cache before this step was not recorded"));
  CHECK_FALSE(tiny.replay({Probe::past_key, 3}, why).has_value());
}

TEST_CASE("replay: a wrong table of frequencies is no data for cos and sin", "[reference][replay]") {
  Tiny tiny;
  for (float& f : tiny.at({Probe::inv_freq, -1}).values<float>()) f *= 1.01f;
  CHECK(tiny.share({Probe::inv_freq, -1}) > 1.0);
  CHECK(tiny.share({Probe::cos, -1}) <= 1.0);  // against the reference's own table, which made it
  for (float& f : tiny.at({Probe::inv_freq, -1}).values<float>()) f /= 1.01f;
  for (std::size_t i = 0; i < 10; ++i) {  // one wrong entry is enough
    const Tensor right = tiny.at({Probe::inv_freq, -1});
    tiny.at({Probe::inv_freq, -1}).values<float>()[i] *= 1.01f;
    CHECK(tiny.share({Probe::inv_freq, -1}) > 1.0);
    CHECK(tiny.share({Probe::cos, -1}) <= 1.0);
    tiny.at({Probe::inv_freq, -1}) = right;
  }
  const auto wave = tiny.at({Probe::sin, -1}).values<float>();
  const auto table = tiny.at({Probe::inv_freq, -1}).values<float>();
  CHECK(tiny.share({Probe::inv_freq, -1}) <= 1.0);
  // Within 8 ulp the recorded table is the data: cos and sin of that very angle are right.
  for (std::size_t i = 0; i < 38 * 20; ++i) wave[i] = std::sin(static_cast<float>(i / 20) * table[i % 10]);
  CHECK(tiny.share({Probe::sin, -1}) <= 1.0);
}

TEST_CASE("replay: discrete inputs must equal the case's own", "[reference][replay]") {
  Tiny tiny;
  tiny.at({Probe::position_ids, -1}).values<std::int64_t>()[5] += 1;
  CHECK(tiny.share({Probe::position_ids, -1}) > 1.0);
  CHECK(tiny.share({Probe::cos, -1}) > 1.0);  // the recorded position is what cos should have read
  tiny.at({Probe::input_ids, -1}).values<std::int64_t>()[5] = 17;
  CHECK(tiny.share({Probe::input_ids, -1}) > 1.0);
  tiny.at({Probe::attention_mask, -1}).values<std::uint8_t>()[6] = 1;
  CHECK(tiny.share({Probe::attention_mask, -1}) > 1.0);

  tiny.trace.steps[1].given.reset();  // a foreign trace: ids as recorded, positions counted on from the cache
  CHECK(tiny.share({Probe::input_ids, -1}, 1) == 0.0);
  CHECK(tiny.share({Probe::position_ids, -1}, 1) == 0.0);
  tiny.at({Probe::input_ids, -1}, 1).values<std::int64_t>()[0] = 1024;
  std::string why;
  CHECK_THAT(error_of([&] {
               tiny.replay({Probe::input_ids, -1}, why, 1);
             }),
             Contains("token 1024 is outside"));
}

TEST_CASE("replay: recorded shapes are checked", "[reference][replay]") {
  Tiny tiny;
  std::string why;
  const auto refusal = [&](OpSite input, Shape shape, OpSite site) {
    const Tensor before = tiny.at(input);
    tiny.at(input) = Tensor(DType::f32, shape);
    const std::string message = error_of([&] { tiny.replay(site, why); });
    tiny.at(input) = before;
    return message;
  };
  CHECK_THAT(refusal({Probe::input_layernorm, 0}, {38, 119}, {Probe::q_proj, 0}),
             Contains("model.layers.0.input_layernorm: recorded with shape [38, 119], not [38, 120]"));
  CHECK_THAT(refusal({Probe::past_key, 0}, {37, 2, 20}, {Probe::scores, 0}), Contains("not [38, 2, 20]"));
  CHECK_THAT(refusal({Probe::probs, 0}, {6, 38, 37}, {Probe::context, 0}), Contains("not [6, 38, 38]"));
  CHECK_THAT(refusal({Probe::act, 0}, {38}, {Probe::down_proj, 0}), Contains("not [38, 328]"));
  CHECK_THROWS_AS(tiny.replayer->replay({Probe::norm, -1}, TraceStepView(tiny.trace, 0), DType::bf16, why),
                  InternalError);
}

TEST_CASE("replay: says what proves nothing, and which rows repeat", "[reference][replay]") {
  const auto replayer = reference::make_replayer(test::tiny_model(), DType::f32);
  const auto engine = reference::make_engine(test::tiny_model(), {});
  const Trace one = record_prefill(*engine, std::vector<TokenId>{5});
  std::string why;
  const auto trivial = [&](const Trace& trace, OpSite site) {
    return replayer->replay(site, TraceStepView(trace, 0), DType::f32, why).value().trivial;
  };
  for (const OpSite site : {OpSite{Probe::attention_mask, -1}, OpSite{Probe::cos, -1}, OpSite{Probe::sin, -1},
                            OpSite{Probe::q_rope, 0}, OpSite{Probe::k_rope, 4}, OpSite{Probe::probs, 0}}) {
    CHECK(trivial(one, site));
  }
  for (const OpSite site : {OpSite{Probe::scores, 0}, OpSite{Probe::context, 0}, OpSite{Probe::norm, -1}}) {
    CHECK_FALSE(trivial(one, site));
  }
  const Trace three = record_prefill(*engine, std::vector<TokenId>{5, 9, 5});
  CHECK_FALSE(trivial(three, {Probe::q_rope, 0}));
  CHECK_FALSE(trivial(three, {Probe::probs, 0}));
  CHECK_FALSE(trivial(three, {Probe::attention_mask, -1}));
  const auto distinct = [&](OpSite site) {
    return replayer->replay(site, TraceStepView(three, 0), DType::f32, why).value().distinct_row;
  };
  CHECK(distinct({Probe::embed_tokens, -1}) == std::vector<bool>{true, true, false});
  CHECK(distinct({Probe::q_proj, 0}) == std::vector<bool>{true, true, false});
  CHECK(distinct({Probe::input_layernorm, 0}) == std::vector<bool>{true, true, false});
  CHECK(distinct({Probe::q_rope, 0}).empty());  // same vectors, other positions
  CHECK(distinct({Probe::q_proj, 1}).empty());
}

TEST_CASE("judge: steps replayed together are judged as each alone", "[reference][replay]") {
  Tiny tiny;
  tiny.trace = record(test::tiny_model(), 30, {20, 1, 1, 1, 7}, 1000);
  // One wrong element in one decode step, of an op that is stacked.
  const OpSite wrong{Probe::o_proj, 2};
  tiny.at(wrong, 2).values<float>()[5] += 1e-3f;
  JudgeOptions options;
  options.threads = GENERATE(1, 3);
  const Judgement together = judge(tiny.trace, *tiny.replayer, tolerances(), options);
  const auto sites = tiny.replayer->sites();
  REQUIRE(together.ops.size() == sites.size() * 5);
  std::size_t i = 0;
  for (std::size_t step = 0; step < 5; ++step) {
    const TraceStepView view(tiny.trace, step);
    for (const OpSite site : sites) {
      const OpResult& result = together.ops[i++];
      const OpResult alone = judge_op(site, view, *tiny.replayer, tolerances(), DType::f32, DeviceKind::cpu);
      INFO(site_name(site) << " of step " << step);
      REQUIRE(result.site == site);
      CHECK(result.step == static_cast<int>(step));
      CHECK(result.verdict == alone.verdict);
      // The sum that follows was recorded of the right one.
      const bool planted = step == 2 && (site == wrong || site == OpSite{Probe::attn_residual, 2});
      CHECK(result.verdict == (planted ? Verdict::failed : Verdict::passed));
      CHECK(result.share == Approx(alone.share).epsilon(1e-5).margin(1e-9));
      CHECK(result.worst.index == alone.worst.index);
    }
  }
}
