#include "impl/sampler.h"

#include <cmath>
#include <limits>
#include <map>

#include <catch2/catch.hpp>

#include "impl/rng.h"
#include "impl/sampling_stages.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

class StageSink final : public ProbeSink {
 public:
  std::vector<std::string> order;
  std::map<std::string, Tensor> seen;
  Access access(const ProbeId&) const override { return Access::read; }
  void receive(const ProbeId& id, const TensorView& view) override {
    order.push_back(site_name(id.site));
    seen[order.back()] = copy_host(view);
  }
  std::vector<float> floats(const std::string& name) const {
    const auto values = seen.at(name).values<float>();
    return {values.begin(), values.end()};
  }
};

std::vector<TokenId> kept(const std::vector<float>& logits) {
  std::vector<TokenId> ids;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > -kInf) ids.push_back(static_cast<TokenId>(i));
  }
  return ids;
}

using Ids = std::vector<TokenId>;

std::string error_for(std::vector<float> logits, SamplingParams params, double uniform = 0.5) {
  NullSink sink;
  return error_of([&] { make_sampler()->sample(logits, {}, params, uniform, sink); });
}

}  // namespace

TEST_CASE("sampler: top-k keeps every tie of the k-th") {
  std::vector<float> logits{5, 4, 3, 3, 3, 1};
  keep_top_k(logits, 3);
  CHECK(kept(logits) == Ids{0, 1, 2, 3, 4});
  std::vector<float> all{1, 2};
  keep_top_k(all, 9);
  CHECK(kept(all) == Ids{0, 1});
}

TEST_CASE("sampler: top-p sorts ascending, equal logits by id, and drops while the sum is at most 1 - p") {
  std::vector<float> uniform(8, 0.0f);
  keep_top_p(uniform, 0.5);
  CHECK(kept(uniform) == Ids{4, 5, 6, 7});
  std::vector<float> peaked{0, 10, 0};
  keep_top_p(peaked, 0.9);
  CHECK(kept(peaked) == Ids{1});
  std::vector<float> none(8, 0.0f);
  keep_top_p(none, 0.0);
  CHECK(kept(none) == Ids{7});  // the last is always kept
  std::vector<float> after_top_k{1, -kInf, 1, -kInf};
  keep_top_p(after_top_k, 0.999);
  CHECK(kept(after_top_k) == Ids{0, 2});
}

TEST_CASE("sampler: min-p drops what is less likely than its share of the likeliest") {
  std::vector<float> logits{0.0f, std::log(0.5f), std::log(0.09f)};
  keep_min_p(logits, 0.1);
  CHECK(kept(logits) == Ids{0, 1});
  std::vector<float> all{0.0f, -1.0f};
  keep_min_p(all, 1.0);
  CHECK(kept(all) == Ids{0});
}

TEST_CASE("sampler: the penalty falls once on each distinct token, by the sign of its logit") {
  std::vector<float> logits{2, -2, 3, 0};
  const Ids history{0, 1, 0, 1, 3, 77, -1};
  penalize_repetition(logits, history, 2.0);
  CHECK(logits == std::vector<float>{1, -4, 3, 0});
}

TEST_CASE("sampler: greedy takes the lowest index of the largest, after the penalty") {
  StageSink sink;
  const auto sampler = make_sampler();
  const std::vector<float> logits{1, 7, 7, 0};
  CHECK(sampler->sample(logits, {}, {}, 0.0, sink) == 1);
  CHECK(sink.order == std::vector<std::string>{"sample.logits", "sample.penalized", "sample.token"});
  CHECK(sink.seen.at("sample.token").values<std::int64_t>()[0] == 1);
  SamplingParams params;
  params.repetition_penalty = 8;
  const Ids history{1};
  CHECK(sampler->sample(logits, history, params, 0.0, sink) == 2);
}

namespace {

std::vector<float> golden_floats(const std::string& name) {
  const auto values = golden_values(source_path("fixtures/goldens/tiny/sampling.safetensors"), name);
  return {values.begin(), values.end()};  // exact: they are stored as f32
}

// The stage of a golden's name: "top_p_0.8" or "chain.top_p".
void apply(const std::string& stage, std::vector<float>& logits, const Ids& history, double value) {
  if (stage.find("repetition_penalty") != std::string::npos) penalize_repetition(logits, history, value);
  if (stage.find("temperature") != std::string::npos) scale_by_temperature(logits, value);
  if (stage.find("top_k") != std::string::npos) keep_top_k(logits, static_cast<std::int64_t>(value));
  if (stage.find("top_p") != std::string::npos) keep_top_p(logits, value);
  if (stage.find("min_p") != std::string::npos) keep_min_p(logits, value);
}

}  // namespace

TEST_CASE("sampler: each stage alone and in the chain gives the bits of transformers' processors") {
  const nlohmann::json golden = read_json(source_path("fixtures/goldens/tiny/sampling.json"));
  int compared = 0;
  for (const auto& each : golden.at("cases")) {
    const std::string name = each.at("name");
    const std::vector<float> logits = golden_floats(name + ".logits");
    const std::vector<float> prompt = golden_floats(name + ".prompt_ids");
    const Ids history(prompt.begin(), prompt.end());
    const auto check = [&](std::vector<float>& work, const nlohmann::json& step) {
      const std::string tensor = step.at("tensor");
      INFO(tensor);
      apply(tensor.substr(name.size()), work, history, step.at("value"));
      CHECK(same_bits(work, golden_floats(tensor)));
      ++compared;
    };
    for (const auto& step : each.at("alone")) {
      std::vector<float> work = logits;
      check(work, step);
    }
    std::vector<float> work = logits;
    for (const auto& step : each.at("chain")) check(work, step);
    const std::vector<float> probs = softmax(work);
    const std::vector<float> expected = golden_floats(each.at("chain_probs"));
    for (std::size_t i = 0; i < probs.size(); ++i) CHECK(std::fabs(probs[i] - expected[i]) <= 1e-6f);
  }
  CHECK(compared > 40);
}

TEST_CASE("sampler: every stage is shown, dropped tokens as -inf, and the draw inverts the sum in id order") {
  SamplingParams params;
  params.temperature = 0.5;
  params.top_k = 3;
  params.top_p = 0.95;
  params.min_p = 0.05;
  params.repetition_penalty = 1.5;
  const std::vector<float> logits{1.0f, 2.0f, 0.5f, -1.0f, 2.5f};
  const Ids history{4};
  const auto sampler = make_sampler();
  StageSink sink;
  sampler->sample(logits, history, params, 0.3, sink);
  CHECK(sink.order == std::vector<std::string>{"sample.logits", "sample.penalized", "sample.scaled",
                                               "sample.top_k", "sample.top_p", "sample.min_p", "sample.probs",
                                               "sample.noise", "sample.token"});
  CHECK(sink.floats("sample.penalized")[4] == 2.5f / 1.5f);
  CHECK(sink.floats("sample.scaled")[1] == 4.0f);
  CHECK(kept(sink.floats("sample.top_k")) == Ids{0, 1, 4});
  CHECK(sink.seen.at("sample.noise").values<double>()[0] == 0.3);
  const std::vector<float> probs = sink.floats("sample.probs");
  double total = 0;
  for (const float p : probs) total += p;
  CHECK(std::fabs(total - 1) < 1e-6);
  // Uniforms on either side of each step of the cumulative distribution.
  double below = 0;
  for (const TokenId id : kept(sink.floats("sample.min_p"))) {
    const double above = below + probs[static_cast<std::size_t>(id)];
    NullSink silent;
    CHECK(sampler->sample(logits, history, params, below + 1e-9, silent) == id);
    CHECK(sampler->sample(logits, history, params, std::min(above - 1e-6, 0.999), silent) == id);
    below = above;
  }
}

TEST_CASE("sampler: a draw never takes a token of probability 0") {
  const std::vector<float> probs{0.0f, 0.25f, 0.0f, 0.7f, 0.0f};
  CHECK(draw(probs, 0.0) == 1);
  CHECK(draw(probs, 0.25) == 3);  // the first whose sum *exceeds* it
  CHECK(draw(probs, 0.9999) == 3);
}

TEST_CASE("sampler: logits and parameters that mean nothing are refused") {
  SamplingParams warm;
  warm.temperature = 1.0;
  CHECK_THAT(error_for({1, NAN}, {}), Catch::Contains("token 1 is NaN"));
  CHECK_THAT(error_for({-kInf, -kInf}, {}), Catch::Contains("-inf"));
  CHECK_THAT(error_for({-kInf, -kInf}, warm), Catch::Contains("-inf"));
  CHECK_THAT(error_for({1, kInf}, warm), Catch::Contains("infinite"));
  CHECK_THAT(error_for({}, {}), Catch::Contains("-inf"));
  CHECK_THAT(error_for({1, 2}, warm, 1.0), Catch::Contains("uniform"));
  CHECK_THAT(error_for({1, 2}, warm, NAN), Catch::Contains("uniform"));
  SamplingParams bad;
  bad.temperature = -1;
  CHECK_THAT(error_for({1, 2}, bad), Catch::Contains("temperature"));
  SamplingParams tiny = warm;
  tiny.temperature = 1e-40;  // overflows the logits
  CHECK_FALSE(error_for({1, 2}, tiny).empty());
}

TEST_CASE("rng: Philox4x32-10 gives the known answers of Random123") {
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) == PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const std::uint32_t ones = 0xffffffff;
  CHECK(philox4x32({ones, ones, ones, ones}, {ones, ones}) ==
        PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("rng: uniforms lie in [0, 1), have the right mean, and depend on seed, row and step") {
  double sum = 0;
  bool inside = true;
  for (std::uint64_t step = 0; step < 10'000; ++step) {
    const double u = uniform(1, 0, step);
    inside = inside && u >= 0 && u < 1;
    sum += u;
  }
  CHECK(inside);
  CHECK(std::fabs(sum / 10'000 - 0.5) < 0.01);  // standard error 0.003
  CHECK(uniform(1, 0, 0) == uniform(1, 0, 0));
  CHECK(uniform(1, 0, 0) != uniform(2, 0, 0));
  CHECK(uniform(1, 0, 0) != uniform(1, 1, 0));
  CHECK(uniform(std::uint64_t{1} << 32, 0, 0) != uniform(0, 0, 0));
}
