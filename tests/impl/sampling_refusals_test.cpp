// What the native sampler must not draw from, and what it says about it.
#include <cmath>
#include <limits>

#include <catch2/catch.hpp>

#include "impl/sampler.h"
#include "tests/impl/sampling_support.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;
using Catch::Contains;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

std::string error_for(const SamplingStep& step, const SamplingParams& params) {
  StageSink sink;
  const std::string error = error_of([&] { make_sampler()->sample(step, params, sink); });
  CHECK(sink.seen.count("sample.token") == (error.empty() ? 1 : 0));
  if (!error.empty()) CHECK(sink.seen.count("sample.noise") == 0);
  return error;
}
std::string error_for(const Floats& logits, const SamplingParams& params, double uniform = 0.5) {
  return error_for(step_of(logits, {}, uniform), params);
}

}  // namespace

TEST_CASE("sampler: logits and parameters that mean nothing are refused") {
  const SamplingParams warm = at_temperature(1.0);
  CHECK_THAT(error_for({1, NAN}, {}), Contains("the first that of token 1"));
  CHECK_THAT(error_for({-kInf, -kInf}, {}), Contains("none of 2 logits is above -inf"));
  CHECK_THAT(error_for({-kInf, -kInf}, warm), Contains("-inf"));
  CHECK_THAT(error_for({1, kInf}, warm), Contains("the logit of token 1 is infinite"));
  CHECK_THAT(error_for(Floats{}, {}), Contains("there are no logits"));
  CHECK_THAT(error_for({1, 2}, warm, 1.0), Contains("uniform"));
  CHECK_THAT(error_for({1, 2}, warm, -1e-9), Contains("uniform"));
  CHECK_THAT(error_for({1, 2}, warm, NAN), Contains("uniform"));
  CHECK_THAT(error_for({1, 2}, at_temperature(-1)), Contains("temperature"));
  CHECK_THAT(error_for({1, 2}, at_temperature(1e-40)), Contains("infinite"));  // 2 / 1e-40
  CHECK_THAT(error_for({-3e38f, -2e38f}, at_temperature(0.1)), Contains("infinite"));
  CHECK_THAT(error_for({0, -1}, at_temperature(1e-50)), Contains("temperature of 1e-50"));  // 0 in f32
  CHECK(error_for({1, 2}, warm).empty());
}

TEST_CASE("sampler: the row of a batch, the count of NaNs and the first of them are named") {
  const Floats logits{1, NAN, 2, NAN, 3};
  for (const double temperature : {0.0, 1.0}) {
    SamplingStep step = step_of(logits);
    step.row = 3;
    CHECK_THAT(error_for(step, at_temperature(temperature)),
               Contains("row 3: 2 of 5 logits are NaN, the first that of token 1"));
  }
}

TEST_CASE("sampler: a row of which the biases leave nothing is refused, greedy or not") {
  SamplingParams params;
  params.logit_bias = {{0, -kInf}, {1, -kInf}};
  for (const double temperature : {0.0, 1.0}) {
    params.temperature = temperature;
    CHECK_THAT(error_for({1, 2}, params), Contains("row 0: none of 2 logits is above -inf"));
    CHECK(error_for({1, 2, 3}, params).empty());
  }
}

TEST_CASE("sampler: parameters outside their range are refused by name") {
  const auto refused = [](double SamplingParams::*field, double value) {
    SamplingParams params = at_temperature(1);
    params.*field = value;
    return error_for({1, 2}, params);
  };
  using P = SamplingParams;
  for (const double value : {-0.1, 1.1, double{NAN}}) {
    CHECK_THAT(refused(&P::top_p, value), Contains("top_p"));
    CHECK_THAT(refused(&P::min_p, value), Contains("min_p"));
  }
  for (const double value : {double{NAN}, double{kInf}}) {
    CHECK_THAT(refused(&P::temperature, value), Contains("temperature"));
    CHECK_THAT(refused(&P::repetition_penalty, value), Contains("repetition_penalty"));
    CHECK_THAT(refused(&P::presence_penalty, value), Contains("presence_penalty"));
    CHECK_THAT(refused(&P::frequency_penalty, value), Contains("frequency_penalty"));
  }
  CHECK_THAT(refused(&P::repetition_penalty, 0), Contains("repetition_penalty"));
  SamplingParams negative;
  negative.top_k = -1;
  CHECK_THAT(error_for({1, 2}, negative), Contains("top_k"));
}

TEST_CASE("sampler: biases and histories outside the vocabulary, and two biases of one token, are refused") {
  const auto biased = [](std::vector<LogitBias> biases) {
    SamplingParams params;
    params.logit_bias = std::move(biases);
    return error_for({1, 2}, params);
  };
  CHECK_THAT(biased({{2, 1}}), Contains("token 2 is outside the vocabulary of 2"));
  CHECK_THAT(biased({{-1, 1}}), Contains("token -1 is outside"));
  CHECK_THAT(biased({{1, 1}, {0, 0}, {1, 2}}), Contains("token 1 has more than one logit bias"));
  CHECK_THAT(biased({{1, NAN}}), Contains("bias"));
  CHECK_THAT(biased({{1, kInf}}), Contains("bias"));
  const Floats logits{2, -2, 3, 0};
  for (const Ids& history : {Ids{0, 77}, Ids{-1, 0}}) {
    CHECK_THAT(error_for(step_of(logits, history), {}), Contains("is outside the vocabulary of 4"));
  }
  const std::vector<std::int64_t> whole{1, 2};
  CHECK_THAT(error_for(SamplingStep{{whole.data(), DType::i64, {2}}, {}}, {}), Contains("logits are i64"));
  SamplingStep step = step_of(logits);
  step.generated = 1;
  NullSink nothing;
  CHECK_THROWS_AS(make_sampler()->sample(step, {}, nothing), InternalError);
}
