// What the device's sampler refuses, and sinks that change its stages: as the CPU's in both.
#include <cmath>
#include <limits>

#include "harness/sampling_judge.h"
#include "tests/impl/cuda/sampler_support.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native::cuda;
using namespace plumbline::native::cuda::testing;
using native::testing::same_bits;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kMost = std::numeric_limits<float>::max();

struct Both {
  StreamOwner stream;
  std::shared_ptr<Sampler> device = make_device_sampler(stream.get(), 1);
  std::unique_ptr<Sampler> host = native::make_sampler(1);

  void check(const SamplingStep& step, const SamplingParams& params, const AnyStageSink& sink = {}) {
    const Outcome mine = outcome_of(*device, step, params, sink);
    const Outcome other = outcome_of(*host, step, params, sink);
    CHECK(mine.error == other.error);
    CHECK(mine.token == other.token);
    CHECK(mine.sink.order == other.sink.order);
    for (const auto& [stage, values] : other.sink.seen) {
      INFO(stage);
      if (stage != "sample.probs") CHECK(same_bits(mine.sink.seen.at(stage), values));
    }
    if (sink.write.empty()) {  // nobody watches: the same error, the same token
      NullSink nothing;
      const auto unwatched = [&](Sampler& sampler) {
        TokenId token = -1;
        std::string error = native::testing::error_of([&] { token = sampler.sample(step, params, nothing); });
        CHECK(token == other.token);
        return error;
      };
      CHECK(unwatched(*device) == unwatched(*host));
    }
  }
};

}  // namespace

TEST_CASE("device sampler: refuses what the CPU's refuses, in the same words") {
  Both both;
  const std::vector<Floats> rows{
      {1, NAN}, {NAN, NAN}, {-kInf, -kInf},   {1, kInf}, {kInf, kInf, 2},    {kInf, NAN},    {-kInf, NAN},
      {},       {1, 2},     {-3e38f, -2e38f}, {0, -1},   {kMost, -kMost, 1}, {-kMost, -kInf}};
  for (const Floats& row : rows) {
    for (const double temperature : {0.0, 1.0, 0.1, 1e-40, 1e-50, 1e29, -1.0, double{NAN}}) {
      for (const bool filters : {false, true}) {
        SamplingParams params = filters ? chain(temperature, 1, 0.5, 0.1) : at_temperature(temperature);
        INFO(row.size() << " logits, first " << (row.empty() ? 0 : row[0]) << ", " << describe(params));
        both.check(step_of(row), params);
        SamplingStep seventh = step_of(row);
        seventh.row = 7;
        params.logit_bias = {{0, -kInf}};
        both.check(seventh, params);
        params.logit_bias.push_back({1, -kInf});
        both.check(seventh, params);
      }
    }
  }
  Floats many = random_values<float>(5000, 3);
  many[4321] = many[2222] = many[4999] = NAN;
  both.check(step_of(many), at_temperature(0));
  both.check(step_of(many), chain(1, 5, 0.5, 0));
  const Ids outside{0, 77};
  both.check(step_of({1, 2, 3, 4}, outside), {});
  both.check(step_of({1, 2}, {}, 1.0), at_temperature(1));
  SamplingParams huge = at_temperature(1);
  huge.repetition_penalty = 1e-20;  // 3e38 / 1e-20
  const Ids first{0};
  both.check(step_of({3e38f, 1}, first), huge);
  huge.temperature = 0;
  both.check(step_of({3e38f, 1}, first), huge);
}

TEST_CASE("device sampler: can be used after a refusal") {
  Both both;
  const Floats good = random_values<float>(3000, 8), bad(3000, NAN);
  for (int i = 0; i < 2; ++i) {
    both.check(step_of(bad), chain(1, 5, 0.5, 0));
    both.check(step_of(good), chain(1, 5, 0.5, 0));
  }
}

TEST_CASE("device sampler: goes on with what a sink leaves in a stage") {
  Both both;
  const Floats row = random_values<float>(2100, 4, 2.0f);
  const Ids history{3, 3, 700, 2099};
  const std::vector<std::function<void(std::span<float>)>> changes{
      [](std::span<float>) {},
      [](std::span<float> scores) { scores[2000] = 9; },
      [](std::span<float> scores) {
        for (std::size_t i = 0; i < scores.size(); i += 2) scores[i] = -kInf;
      },
      [](std::span<float> scores) { scores[1500] = NAN; },
      [](std::span<float> scores) { scores[17] = kInf; },
      [](std::span<float> scores) { std::fill(scores.begin(), scores.end(), -kInf); },
  };
  for (const char* stage : {"sample.logits", "sample.penalized", "sample.scaled", "sample.top_k",
                            "sample.top_p", "sample.min_p"}) {
    for (std::size_t i = 0; i < changes.size(); ++i) {
      for (const SamplingParams& params :
           {chain(0, 0, 1, 0), chain(0.7, 50, 0.9, 0.01), with_penalties(chain(1.1, 0, 0.5, 0)),
            with_penalties(chain(0, 0, 1, 0)), chain(1, 0, 1, 0)}) {
        AnyStageSink sink;
        sink.write = stage;
        sink.change = changes[i];
        INFO(stage << ", change " << i << ", " << describe(params));
        both.check(step_of(row, history, 0.45), params, sink);
      }
    }
  }
}

TEST_CASE("device sampler: draws from the probabilities that a sink leaves") {
  Both both;
  const Floats row = random_values<float>(1100, 5);
  for (const float left : {0.0f, 0.25f, 3.0f, 1e-30f}) {
    for (const double uniform : {0.0, 0.3, 0.9}) {
      AnyStageSink sink;
      sink.write = "sample.probs";
      sink.change = [left](std::span<float> p) {
        std::fill(p.begin(), p.end(), 0.0f);
        p[1050] = p[1060] = p[3] = left;
        if (left == 0.0f) p[8] = 1e-38f;
      };
      INFO(left << ", u " << uniform);
      both.check(step_of(row, {}, uniform), at_temperature(1), sink);
    }
  }
  AnyStageSink none;
  none.write = "sample.probs";
  none.change = [](std::span<float> p) { std::fill(p.begin(), p.end(), 0.0f); };
  CHECK_THROWS_AS(both.device->sample(step_of(row), at_temperature(1), none), InternalError);
  both.check(step_of(row), at_temperature(1));
}
