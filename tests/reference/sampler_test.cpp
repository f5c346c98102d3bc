#include "reference/sampler.h"

#include <cmath>
#include <limits>
#include <map>

#include <catch2/catch.hpp>

#include "tests/reference/fixtures.h"

using namespace plumbline;
using Catch::Contains;
using test::error_of;

namespace {

constexpr float kDropped = -std::numeric_limits<float>::infinity();

class Recorder final : public ProbeSink {
 public:
  Access access(const ProbeId&) const override { return Access::read; }
  void receive(const ProbeId& id, const TensorView& view) override { seen[id.site.probe] = copy_host(view); }
  std::map<Probe, Tensor> seen;
};

struct Sampled {
  TokenId token = 0;
  std::map<Probe, Tensor> probes;
};

Sampled sample(const std::vector<float>& logits, const SamplingParams& params, double uniform = 0.5,
               const std::vector<TokenId>& history = {}) {
  Recorder sink;
  const TokenId token = reference::make_sampler()->sample(logits, history, params, uniform, sink);
  return {token, std::move(sink.seen)};
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
      const Sampled out = sample(logits, only(tensor, stage.at("value")), 0.5, history);
      CHECK(agrees(out.probes.at(Probe::sample_min_p), tensors.at(tensor), 0.0));
    }
    const Sampled chain = sample(logits, {0.7, 20, 0.95, 0.05, 1.3}, 0.5, history);
    const std::vector<std::pair<Probe, std::string>> stages{{Probe::sample_penalized, "repetition_penalty"},
                                                            {Probe::sample_scaled, "temperature"},
                                                            {Probe::sample_top_k, "top_k"},
                                                            {Probe::sample_top_p, "top_p"},
                                                            {Probe::sample_min_p, "min_p"}};
    for (const auto& [probe, stage] : stages) {
      INFO(name << " chain " << stage);
      CHECK(agrees(chain.probes.at(probe), tensors.at(name + ".chain." + stage), 0.0));
    }
    CHECK(agrees(chain.probes.at(Probe::sample_probs), tensors.at(item.at("chain_probs")), 1e-6));
  }
}

TEST_CASE("sampler: top-k keeps every tie, top-p keeps the upper half of equals", "[reference][sampler]") {
  CHECK(kept(sample({5, 4, 3, 3, 3, 1}, {1.0, 3}).probes.at(Probe::sample_top_k)) ==
        std::vector<std::size_t>{0, 1, 2, 3, 4});
  CHECK(kept(sample(std::vector<float>(8, 0.0f), {1.0, 0, 0.5}).probes.at(Probe::sample_top_p)) ==
        std::vector<std::size_t>{4, 5, 6, 7});
  CHECK(kept(sample({1, 2}, {1.0, 99}).probes.at(Probe::sample_top_k)).size() == 2);
  CHECK(kept(sample({1, 2}, {1.0, 0, 0.0}).probes.at(Probe::sample_top_p)) == std::vector<std::size_t>{1});
  CHECK(kept(sample({0, 0, -5}, {1.0, 0, 1.0, 1.0}).probes.at(Probe::sample_min_p)) ==
        std::vector<std::size_t>{0, 1});
}

TEST_CASE("sampler: greedy takes the lowest index of a tie, after the penalty", "[reference][sampler]") {
  const Sampled tie = sample({1, 3, 3}, {});
  CHECK(tie.token == 1);
  CHECK(tie.probes.size() == 3);                                                 // logits, penalized, token
  CHECK(sample({1, 3, 2}, {0.0, 0, 1.0, 0.0, 2.0}, 0.5, {1, 1, 1}).token == 2);  // once: 3 / 2, not 3 / 8
  const Sampled negative = sample({-2, 4, 0}, {0.0, 0, 1.0, 0.0, 2.0}, 0.5, {0, 1});
  const auto scores = negative.probes.at(Probe::sample_penalized).values<float>();
  CHECK(std::vector<float>(scores.begin(), scores.end()) == std::vector<float>{-4, 2, 0});
}

TEST_CASE("sampler: draws by inverse CDF in id order", "[reference][sampler]") {
  const std::vector<float> logits{std::log(0.25f), kDropped, std::log(0.5f), std::log(0.25f)};
  const SamplingParams params{1.0};
  CHECK(sample(logits, params, 0.0).token == 0);
  CHECK(sample(logits, params, 0.2499).token == 0);
  CHECK(sample(logits, params, 0.26).token == 2);
  CHECK(sample(logits, params, 0.7499).token == 2);
  CHECK(sample(logits, params, 0.76).token == 3);
  CHECK(sample(logits, params, std::nextafter(1.0, 0.0)).token == 3);
  CHECK(sample(logits, params, 0.3).probes.at(Probe::sample_noise).values<double>()[0] == 0.3);
}

TEST_CASE("sampler: refuses what has no answer", "[reference][sampler]") {
  CHECK_THAT(error_of([] { sample({1, NAN}, {}); }), Contains("NaN"));
  CHECK_THAT(error_of([] { sample({kDropped, kDropped}, {}); }), Contains("every logit is -inf"));
  CHECK_THAT(error_of([] { sample({}, {}); }), Contains("no logits"));
  CHECK_THAT(error_of([] { sample({1, 2}, {}, 0.5, {2}); }), Contains("token 2 is outside"));
  CHECK_THAT(error_of([] { sample({1, 2}, {-1.0}); }), Contains("temperature"));
  CHECK_THROWS_AS(sample({1, 2}, {}, 1.0), InternalError);
}

TEST_CASE("multinomial: its own stream, by seed, in proportion", "[reference][sampler]") {
  const std::vector<float> p{0.5f, 0.0f, 0.125f, 0.375f};
  const auto draws = reference::multinomial(p, 20000, 7);
  CHECK(draws == reference::multinomial(p, 20000, 7));
  CHECK(draws != reference::multinomial(p, 20000, 8));
  std::vector<double> share(4, 0.0);
  for (const TokenId token : draws) share.at(static_cast<std::size_t>(token)) += 1.0 / 20000;
  for (std::size_t i = 0; i < 4; ++i) CHECK(std::fabs(share[i] - p[i]) < 0.02);
  CHECK_THROWS_AS(reference::multinomial(std::vector<float>{0, 0}, 1, 0), Error);
  CHECK_THROWS_AS(reference::multinomial(std::vector<float>{1, NAN}, 1, 0), Error);
  CHECK_THROWS_AS(reference::multinomial(p, 0, 0), Error);
}
