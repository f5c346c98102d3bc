#include "impl/sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include <catch2/catch.hpp>

#include "harness/half.h"
#include "impl/rng.h"
#include "tests/impl/sampling_support.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

TokenId drawn(Sampler& sampler, const SamplingStep& step, const SamplingParams& params) {
  NullSink nothing;
  return sampler.sample(step, params, nothing);
}

using Change = std::function<void(const MutableTensorView&)>;

// Changes one stage, and sees the others.
class Meddler final : public ProbeSink {
 public:
  Meddler(Probe probe, Change change) : probe_(probe), change_(std::move(change)) {}
  Access access(const ProbeId& id) const override {
    return id.site.probe == probe_ ? Access::write : Access::read;
  }
  void receive(const ProbeId& id, const TensorView& view) override { sink.receive(id, view); }
  void modify(const ProbeId&, const MutableTensorView& view) override { change_(view); }
  StageSink sink;

 private:
  Probe probe_;
  Change change_;
};

template <typename T>
std::span<T> values_of(const MutableTensorView& view) {
  return {static_cast<T*>(view.mutable_data), static_cast<std::size_t>(view.elements())};
}

SamplingParams all_stages() {
  SamplingParams params = at_temperature(0.8);
  params.top_k = 30;
  params.top_p = 0.95;
  params.min_p = 0.01;
  params.repetition_penalty = 1.3;
  params.frequency_penalty = 0.2;
  params.presence_penalty = 0.1;
  params.logit_bias = {{1, -kInf}};
  return params;
}

}  // namespace

TEST_CASE("sampler: greedy takes the lowest index of the largest, after the penalty") {
  StageSink sink;
  const auto sampler = make_sampler();
  const Floats logits{1, 7, 7, 0};
  CHECK(sampler->sample(step_of(logits), {}, sink) == 1);
  CHECK(sink.order == std::vector<std::string>{"sample.logits", "sample.penalized", "sample.token"});
  CHECK(sink.seen.at("sample.token").values<std::int64_t>()[0] == 1);
  SamplingParams params;
  params.repetition_penalty = 8;
  const Ids history{1};
  CHECK(sampler->sample(step_of(logits, history), params, sink) == 2);
  CHECK(drawn(*sampler, step_of({1, kInf, 3}), {}) == 1);  // an infinite logit is a number to argmax
}

TEST_CASE("sampler: every stage is shown, dropped tokens as -inf, and the draw inverts the sum in id order") {
  SamplingParams params;
  params.temperature = 0.5;
  params.top_k = 3;
  params.top_p = 0.95;
  params.min_p = 0.05;
  params.repetition_penalty = 1.5;
  const Floats logits{1.0f, 2.0f, 0.5f, -1.0f, 2.5f};
  const Ids history{4};
  const auto sampler = make_sampler();
  StageSink sink;
  sampler->sample(step_of(logits, history, 0.3), params, sink);
  CHECK(sink.order == std::vector<std::string>{"sample.logits", "sample.penalized", "sample.scaled",
                                               "sample.top_k", "sample.top_p", "sample.min_p", "sample.probs",
                                               "sample.noise", "sample.token"});
  CHECK(sink.floats("sample.penalized")[4] == 2.5f / 1.5f);
  CHECK(sink.floats("sample.scaled")[1] == 4.0f);
  CHECK(kept(sink.floats("sample.top_k")) == Ids{0, 1, 4});
  CHECK(sink.seen.at("sample.noise").values<double>()[0] == 0.3);
  const Floats probs = sink.floats("sample.probs");
  double total = 0;
  for (const float p : probs) total += p;
  CHECK(std::fabs(total - 1) < 1e-6);
  // Uniforms on either side of each step of the cumulative distribution.
  double below = 0;
  for (const TokenId id : kept(sink.floats("sample.min_p"))) {
    const double above = below + probs[static_cast<std::size_t>(id)];
    CHECK(drawn(*sampler, step_of(logits, history, below + 1e-9), params) == id);
    CHECK(drawn(*sampler, step_of(logits, history, std::min(above - 1e-6, 0.999)), params) == id);
    below = above;
  }
}

TEST_CASE("sampler: without a uniform it draws from its own stream, by seed, row and step") {
  const Floats logits(64, 0.0f);
  const auto noise = [&](std::uint64_t seed, std::uint64_t row, std::uint64_t step) {
    SamplingStep given = step_of(logits, {}, std::nullopt);
    given.row = row;
    given.step = step;
    StageSink sink;
    make_sampler(seed)->sample(given, at_temperature(1), sink);
    return sink.seen.at("sample.noise").values<double>()[0];
  };
  CHECK(noise(5, 0, 0) == uniform(5, 0, 0));
  CHECK(noise(5, 2, 9) == uniform(5, 2, 9));
  CHECK(noise(6, 2, 9) == uniform(6, 2, 9));
}

TEST_CASE("sampler: whether it is watched or not, it draws the same token") {
  const auto sampler = make_sampler(1);
  unsigned seed = 1;
  for (const std::size_t vocab : {2, 5, 130, 1000}) {
    for (const auto& [name, row] : awkward_rows(vocab, seed++)) {
      const Ids history = some_tokens(12, static_cast<std::int64_t>(vocab), seed);
      for (const double u : {0.0, 0.37, 0.9, 1 - 0x1p-53}) {
        for (const SamplingParams& params : {SamplingParams(), at_temperature(1.3), all_stages()}) {
          INFO(name << ", " << vocab << " tokens, u " << u << ", T " << params.temperature);
          SamplingStep step = step_of(row, history, u);
          step.generated = 6;
          StageSink watching;
          CHECK(drawn(*sampler, step, params) == sampler->sample(step, params, watching));
        }
      }
    }
  }
}

TEST_CASE("sampler: what a sink leaves in a stage is what the chain goes on with") {
  const Floats logits{3, 2, 1, 0.5f};
  SamplingParams params = at_temperature(1);
  params.top_k = 3;
  params.top_p = 0.99;
  params.min_p = 0.001;
  const auto after = [&](Probe probe, const Change& change) {
    Meddler meddler(probe, change);
    return make_sampler()->sample(step_of(logits, {}, 0.1), params, meddler);
  };
  const Change only_the_third = [](const MutableTensorView& view) {
    std::ranges::fill(values_of<float>(view), -kInf);
    values_of<float>(view)[2] = 1;
  };
  const Change spoil = [](const MutableTensorView& view) { values_of<float>(view)[1] = NAN; };
  CHECK(drawn(*make_sampler(), step_of(logits, {}, 0.1), params) == 0);
  for (const Probe probe : {Probe::sample_logits, Probe::sample_penalized, Probe::sample_top_k,
                            Probe::sample_top_p, Probe::sample_min_p, Probe::sample_scaled}) {
    INFO(probe_spec(probe).name);
    CHECK(after(probe, only_the_third) == 2);
    CHECK_THAT(error_of([&] { after(probe, spoil); }),
               Catch::Contains("1 of 4 logits are NaN, the first that of token 1"));
  }
  CHECK(after(Probe::sample_probs, [](const MutableTensorView& view) {
          std::ranges::fill(values_of<float>(view), 0.0f);
          values_of<float>(view)[3] = 1;
        }) == 3);
  CHECK(after(Probe::sample_noise,
              [](const MutableTensorView& view) { values_of<double>(view)[0] = 0.75; }) == 1);
  CHECK(after(Probe::sample_token,
              [](const MutableTensorView& view) { values_of<std::int64_t>(view)[0] = 3; }) == 3);
}

TEST_CASE("sampler: logits of the half types are widened first") {
  std::vector<std::uint16_t> bf16, f16;
  for (const float logit : {0.5f, 3.25f, -2.0f}) {
    bf16.push_back(f32_to_bf16(logit));
    f16.push_back(f32_to_f16(logit));
  }
  for (const auto& [bits, dtype] : {std::pair(&bf16, DType::bf16), std::pair(&f16, DType::f16)}) {
    StageSink sink;
    CHECK(make_sampler()->sample({{bits->data(), dtype, {3}}, {}}, {}, sink) == 1);
    CHECK(sink.floats("sample.logits") == Floats{0.5f, 3.25f, -2.0f});
  }
}
