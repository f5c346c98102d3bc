#include "reference/sampler.h"

#include <cmath>
#include <limits>
#include <map>

#include <catch2/catch.hpp>

#include "harness/half.h"
#include "harness/sampling_judge.h"
#include "tests/reference/fixtures.h"

using namespace plumbline;
using Catch::Contains;
using test::error_of;

namespace {

constexpr float kDropped = -std::numeric_limits<float>::infinity();

SamplingStep step_of(const std::vector<float>& logits, const std::vector<TokenId>& history = {},
                     std::optional<double> uniform = 0.5) {
  return {{logits.data(), DType::f32, {static_cast<std::int64_t>(logits.size())}}, history, 0, uniform};
}

Draw sample(const std::vector<float>& logits, const SamplingParams& params, double uniform = 0.5,
            const std::vector<TokenId>& history = {}) {
  return record_draw(*reference::make_sampler(), step_of(logits, history, uniform), params);
}

std::vector<float> floats(const Draw& draw, Probe probe) {
  const auto values = draw.stages.at(probe).values<float>();
  return {values.begin(), values.end()};
}

std::vector<std::size_t> kept(const Tensor& scores) {
  std::vector<std::size_t> ids;
  const auto values = scores.values<float>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] != kDropped) ids.push_back(i);
  }
  return ids;
}

// Equal where both are dropped; else within `limit`, relative to the size of the value.
bool agrees(const Tensor& actual, const Tensor& expected, double limit) {
  if (!(actual.shape() == expected.shape())) return false;
  const auto a = actual.values<float>();
  const auto e = expected.values<float>();
  for (std::size_t i = 0; i < a.size(); ++i) {
    const bool both_dropped = a[i] == kDropped && e[i] == kDropped;
    const bool close = std::fabs(double{a[i]} - double{e[i]}) <= limit * std::max(1.0f, std::fabs(e[i]));
    if (!both_dropped && !close) return false;
  }
  return true;
}

SamplingParams only(const std::string& tensor, double value) {
  SamplingParams params;
  params.temperature = tensor.find("temperature") != std::string::npos ? value : 1.0;
  if (tensor.find("repetition") != std::string::npos) params.repetition_penalty = value;
  if (tensor.find("top_k") != std::string::npos) params.top_k = static_cast<std::int64_t>(value);
  if (tensor.find("top_p") != std::string::npos) params.top_p = value;
  if (tensor.find("min_p") != std::string::npos) params.min_p = value;
  return params;
}

SamplingParams chain(double temperature, std::int64_t top_k = 0, double top_p = 1.0, double min_p = 0.0,
                     double repetition_penalty = 1.0) {
  SamplingParams params;
  params.temperature = temperature;
  params.top_k = top_k;
  params.top_p = top_p;
  params.min_p = min_p;
  params.repetition_penalty = repetition_penalty;
  return params;
}

SamplingParams penalty(double repetition) {
  return chain(0, 0, 1, 0, repetition);
}

}  // namespace

TEST_CASE("sampler: every stage of the goldens, alone and chained", "[reference][sampler]") {
  const nlohmann::json golden = test::read_json(test::fixture("goldens/tiny/sampling.json"));
  const auto tensors = test::read_tensors(test::fixture("goldens/tiny/sampling.safetensors"));
  for (const nlohmann::json& item : golden.at("cases")) {
    const std::string name = item.at("name");
    const auto logits_view = tensors.at(name + ".logits").values<float>();
    const std::vector<float> logits(logits_view.begin(), logits_view.end());
    std::vector<TokenId> history;
    for (const std::int64_t id : tensors.at(name + ".prompt_ids").values<std::int64_t>()) {
      history.push_back(static_cast<TokenId>(id));
    }
    for (const nlohmann::json& stage : item.at("alone")) {
      const std::string tensor = stage.at("tensor");
      INFO(tensor);
      const Draw out = sample(logits, only(tensor, stage.at("value")), 0.5, history);
      CHECK(agrees(out.stages.at(Probe::sample_min_p), tensors.at(tensor), 0.0));
    }
    const Draw chained = sample(logits, chain(0.7, 20, 0.95, 0.05, 1.3), 0.5, history);
    const std::vector<std::pair<Probe, std::string>> stages{{Probe::sample_penalized, "repetition_penalty"},
                                                            {Probe::sample_scaled, "temperature"},
                                                            {Probe::sample_top_k, "top_k"},
                                                            {Probe::sample_top_p, "top_p"},
                                                            {Probe::sample_min_p, "min_p"}};
    for (const auto& [probe, stage] : stages) {
      INFO(name << " chain " << stage);
      CHECK(agrees(chained.stages.at(probe), tensors.at(name + ".chain." + stage), 0.0));
    }
    CHECK(agrees(chained.stages.at(Probe::sample_probs), tensors.at(item.at("chain_probs")), 1e-6));
  }
}

TEST_CASE("sampler: top-k keeps every tie, top-p keeps the upper half of equals", "[reference][sampler]") {
  CHECK(kept(sample({5, 4, 3, 3, 3, 1}, chain(1, 3)).stages.at(Probe::sample_top_k)) ==
        std::vector<std::size_t>{0, 1, 2, 3, 4});
  CHECK(kept(sample(std::vector<float>(8, 0.0f), chain(1, 0, 0.5)).stages.at(Probe::sample_top_p)) ==
        std::vector<std::size_t>{4, 5, 6, 7});
  CHECK(kept(sample({1, 2}, chain(1, 99)).stages.at(Probe::sample_top_k)).size() == 2);
  CHECK(kept(sample({1, 2}, chain(1, 0, 0)).stages.at(Probe::sample_top_p)) == std::vector<std::size_t>{1});
  CHECK(kept(sample({0, 0, -5}, chain(1, 0, 1, 1)).stages.at(Probe::sample_min_p)) ==
        std::vector<std::size_t>{0, 1});
}

TEST_CASE("sampler: greedy takes the lowest index of a tie, after the penalty", "[reference][sampler]") {
  const Draw tie = sample({1, 3, 3}, {});
  CHECK(tie.token == 1);
  CHECK(tie.stages.size() == 3);                                      // logits, penalized, token
  CHECK(sample({1, 3, 2}, penalty(2.0), 0.5, {1, 1, 1}).token == 2);  // once: 3 / 2, not 3 / 8
  const Draw negative = sample({-2, 4, 0}, penalty(2.0), 0.5, {0, 1});
  CHECK(floats(negative, Probe::sample_penalized) == std::vector<float>{-4, 2, 0});
}

TEST_CASE("sampler: penalties in their order, frequency and presence on generated tokens alone",
          "[reference][sampler]") {
  SamplingParams params;
  params.repetition_penalty = 2;
  params.frequency_penalty = 3;
  params.presence_penalty = 1;
  params.logit_bias = {{0, 10}, {3, kDropped}};
  const std::vector<float> logits{8, -1, 8, 5};
  const std::vector<TokenId> history{2, 1, 0, 0};  // prompt: 2 1; generated: 0 0
  SamplingStep step = step_of(logits, history);
  step.generated = 2;
  const Draw draw = record_draw(*reference::make_sampler(), step, params);
  // 8 / 2 - 3 * 2 - 1 + 10; -1 * 2; 8 / 2; banned
  CHECK(floats(draw, Probe::sample_penalized) == std::vector<float>{7, -2, 4, kDropped});
  CHECK(draw.token == 0);
}

TEST_CASE("sampler: draws by inverse CDF in id order", "[reference][sampler]") {
  const std::vector<float> logits{std::log(0.25f), kDropped, std::log(0.5f), std::log(0.25f)};
  const SamplingParams params = chain(1);
  CHECK(sample(logits, params, 0.0).token == 0);
  CHECK(sample(logits, params, 0.2499).token == 0);
  CHECK(sample(logits, params, 0.26).token == 2);
  CHECK(sample(logits, params, 0.7499).token == 2);
  CHECK(sample(logits, params, 0.76).token == 3);
  CHECK(sample(logits, params, std::nextafter(1.0, 0.0)).token == 3);
  CHECK(sample(logits, params, 0.3).stages.at(Probe::sample_noise).values<double>()[0] == 0.3);
}

TEST_CASE("sampler: without a uniform it draws by LibTorch's generator, and shows no noise",
          "[reference][sampler]") {
  const std::vector<float> logits(50, 0.0f);
  const SamplingStep step = step_of(logits, {}, std::nullopt);
  const auto draws = [&](std::uint64_t seed) {
    const auto sampler = reference::make_sampler(seed);
    std::vector<TokenId> tokens;
    for (int i = 0; i < 40; ++i) tokens.push_back(record_draw(*sampler, step, chain(1)).token);
    return tokens;
  };
  CHECK(draws(7) == draws(7));
  CHECK(draws(7) != draws(8));
  CHECK(record_draw(*reference::make_sampler(), step, chain(1)).stages.count(Probe::sample_noise) == 0);
}

TEST_CASE("sampler: logits of the half types are widened first", "[reference][sampler]") {
  const std::vector<std::uint16_t> bits{f32_to_bf16(0.5f), f32_to_bf16(3.25f)};
  const Draw draw = record_draw(*reference::make_sampler(), {{bits.data(), DType::bf16, {2}}, {}}, {});
  CHECK(floats(draw, Probe::sample_logits) == std::vector<float>{0.5f, 3.25f});
}

TEST_CASE("sampler: refuses what has no answer", "[reference][sampler]") {
  CHECK_THAT(error_of([] { sample({1, NAN}, {}); }), Contains("1 logits are NaN"));
  CHECK_THAT(error_of([] { sample({kDropped, kDropped}, {}); }), Contains("every logit is -inf"));
  CHECK_THAT(error_of([] { sample({}, {}); }), Contains("no logits"));
  CHECK_THAT(error_of([] { sample({1, 2}, {}, 0.5, {2}); }), Contains("token 2 is outside"));
  CHECK_THAT(error_of([] { sample({1, 2}, chain(-1)); }), Contains("temperature"));
  CHECK_THAT(error_of([] { sample({1, 2}, {}, 1.0); }), Contains("the uniform is 1"));
  CHECK_THAT(error_of([] { sample({1, -kDropped}, chain(1)); }), Contains("infinite"));
  SamplingParams banned;
  banned.logit_bias = {{0, kDropped}};
  CHECK_THAT(error_of([&] { sample({1}, banned); }), Contains("every logit is -inf"));
}
