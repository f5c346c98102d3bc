// Each stage of the native chain against transformers' logits processors on the tiny model's logits.
#include <cmath>

#include <catch2/catch.hpp>

#include "impl/sampler.h"
#include "tests/impl/sampling_support.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

Floats golden_floats(const std::string& name) {
  const auto values = golden_values(source_path("fixtures/goldens/tiny/sampling.safetensors"), name);
  return {values.begin(), values.end()};  // exact: they are stored as f32
}

// Switches a golden's stage on, "top_p_0.8" or "chain.top_p", and names its probe.
std::string switch_on(const std::string& stage, double value, SamplingParams& params) {
  const auto is = [&](const char* name) { return stage.find(name) != std::string::npos; };
  if (is("repetition_penalty")) params.repetition_penalty = value;
  if (is("temperature")) params.temperature = value;
  if (is("top_k")) params.top_k = static_cast<std::int64_t>(value);
  if (is("top_p")) params.top_p = value;
  if (is("min_p")) params.min_p = value;
  if (is("repetition_penalty")) return "sample.penalized";
  if (is("temperature")) return "sample.scaled";
  return is("top_k") ? "sample.top_k" : is("top_p") ? "sample.top_p" : "sample.min_p";
}

}  // namespace

TEST_CASE("sampler: each stage alone and in the chain gives the bits of transformers' processors") {
  const nlohmann::json golden = read_json(source_path("fixtures/goldens/tiny/sampling.json"));
  int compared = 0;
  for (const auto& each : golden.at("cases")) {
    const std::string name = each.at("name");
    const Floats logits = golden_floats(name + ".logits");
    const Floats prompt = golden_floats(name + ".prompt_ids");
    const Ids history(prompt.begin(), prompt.end());
    const auto check = [&](const nlohmann::json& steps, SamplingParams params) {
      std::map<std::string, std::string> probe_of;
      for (const auto& step : steps) {
        const std::string tensor = step.at("tensor");
        probe_of[tensor] = switch_on(tensor.substr(name.size()), step.at("value"), params);
      }
      StageSink sink;
      make_sampler()->sample(step_of(logits, history), params, sink);
      for (const auto& [tensor, probe] : probe_of) {
        INFO(tensor);
        CHECK(same_bits(sink.floats(probe), golden_floats(tensor)));
        ++compared;
      }
      return sink.floats("sample.probs");
    };
    for (const auto& step : each.at("alone")) check(nlohmann::json::array({step}), at_temperature(1));
    const Floats probs = check(each.at("chain"), at_temperature(1));
    const Floats expected = golden_floats(each.at("chain_probs"));
    REQUIRE(probs.size() == expected.size());
    for (std::size_t i = 0; i < probs.size(); ++i) CHECK(std::fabs(probs[i] - expected[i]) <= 1e-6f);
  }
  CHECK(compared > 40);
}
