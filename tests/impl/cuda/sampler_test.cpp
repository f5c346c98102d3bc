// The device's sampler beside the CPU's: the same stages, the same tokens, under every schedule.
#include "impl/cuda/sampling/sampler.h"

#include <cmath>
#include <limits>

#include "harness/half.h"
#include "harness/sampling_judge.h"
#include "impl/cuda/sampling/board.h"
#include "tests/impl/cuda/sampler_support.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native::cuda;
using namespace plumbline::native::cuda::testing;
using native::testing::same_bits;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

void check_same(const Outcome& device, const Outcome& host) {
  CHECK(device.error == host.error);
  CHECK(device.token == host.token);
  CHECK(device.sink.order == host.sink.order);
  for (const auto& [stage, values] : host.sink.seen) {
    INFO(stage);
    REQUIRE(device.sink.seen.count(stage) == 1);
    const Floats& mine = device.sink.seen.at(stage);
    if (stage != "sample.probs") {
      CHECK(same_bits(mine, values));
      continue;
    }
    // Their divisors are sums of their own, each rounded to f32: at most one unit apart.
    REQUIRE(mine.size() == values.size());
    bool close = true;
    for (std::size_t i = 0; i < mine.size(); ++i)
      close = close && std::fabs(mine[i] - values[i]) <= 0x1p-22f * values[i];
    CHECK(close);
  }
}

std::vector<SamplingParams> some_chains(std::int64_t vocab) {
  std::vector<SamplingParams> all{
      chain(0, 0, 1, 0),   chain(1, 0, 1, 0),     chain(0.7, 20, 0.8, 0),         chain(1.3, 3, 1, 0),
      chain(1, 0, 0.5, 0), chain(1, 0, 0, 0),     chain(0.01, 0, 0.9, 0),         chain(1, 0, 0.999, 0.05),
      chain(1, 0, 1, 1),   chain(2, vocab, 1, 0), chain(2, vocab / 2, 0.95, 1e-4)};
  if (vocab > 1) all.push_back(chain(1, vocab - 1, 1e-6, 0));
  for (std::size_t i = 0, plain = all.size(); i < plain; i += 2) all.push_back(with_penalties(all[i]));
  return all;
}

Ids history_of(std::int64_t vocab) {
  Ids history;
  for (std::int64_t i = 0; i < 40; ++i) history.push_back(static_cast<TokenId>((i * i * 7 + 3) % vocab));
  return history;
}

}  // namespace

TEST_CASE("device sampler: every stage and token of the CPU's, over rows of every kind") {
  StreamOwner stream;
  const auto device = make_device_sampler(stream.get(), 7);
  const auto host = native::make_sampler(7);
  for (const std::int64_t vocab : {1, 2, 5, 1023, 1024, 1025, 3000}) {
    const Ids history = history_of(vocab);
    for (const auto& [name, row] : awkward_rows(static_cast<std::size_t>(vocab), 11)) {
      for (const SamplingParams& params : some_chains(vocab)) {
        for (const double uniform : {0.0, 0.37, 1.0 - 0x1p-53}) {
          if (vocab >= 3000 && uniform != 0.37) continue;
          SamplingStep step = step_of(row, history, uniform);
          step.generated = 25;
          INFO(name << ", " << vocab << " ids, " << describe(params) << ", u " << uniform);
          check_same(outcome_of(*device, step, params), outcome_of(*host, step, params));
        }
      }
    }
  }
}

TEST_CASE("device sampler: zeros of both signs are equal scores") {
  StreamOwner stream;
  const auto device = make_device_sampler(stream.get(), 7);
  const auto host = native::make_sampler(7);
  Floats row(1300, -1.0f);
  for (std::size_t i = 0; i < row.size(); i += 100) row[i] = i % 200 == 0 ? -0.0f : 0.0f;
  for (const SamplingParams& params : {chain(0, 0, 1, 0), chain(1, 4, 1, 0), chain(1, 9, 0.5, 0)}) {
    INFO(describe(params));
    check_same(outcome_of(*device, step_of(row), params), outcome_of(*host, step_of(row), params));
  }
}

TEST_CASE("device sampler: a real vocabulary") {
  StreamOwner stream;
  const auto device = make_device_sampler(stream.get(), 7);
  const auto host = native::make_sampler(7);
  constexpr std::size_t kVocab = 151936;
  const Ids history = history_of(kVocab);
  const auto rows = awkward_rows(kVocab, 12);
  for (const char* name : {"normal", "ties", "equal", "holes"}) {
    for (const SamplingParams& params :
         {with_penalties(chain(0.7, 20, 0.8, 0.01)), chain(1.2, 0, 0.9, 0), chain(1, 0, 1, 0)}) {
      SamplingStep step = step_of(rows.at(name), history, std::nullopt);
      step.generated = 10;
      step.row = 2;
      step.step = 40;
      INFO(name << ", " << describe(params));
      check_same(outcome_of(*device, step, params), outcome_of(*host, step, params));
    }
  }
}

TEST_CASE("device sampler: the same under every schedule, watched or not") {
  constexpr std::int64_t kVocab = 2500;
  const auto host = native::make_sampler(9);
  const Ids history = history_of(kVocab);
  under_all_schedules([&](const std::string& schedule) {
    StreamOwner stream;
    const auto device = make_device_sampler(stream.get(), 9);
    for (const auto& [name, row] : awkward_rows(kVocab, 13)) {
      for (const SamplingParams& params :
           {chain(0, 0, 1, 0), with_penalties(chain(0.9, 300, 0.7, 0.02)), chain(1, 0, 0.4, 0)}) {
        SamplingStep step = step_of(row, history, std::nullopt);
        INFO(schedule << ", " << name << ", " << describe(params));
        const Outcome expected = outcome_of(*host, step, params);
        check_same(outcome_of(*device, step, params), expected);
        NullSink nothing;
        if (expected.error.empty()) CHECK(device->sample(step, params, nothing) == expected.token);
      }
    }
  });
}

TEST_CASE("device sampler: logits on the device, in any dtype and at any address") {
  constexpr std::int64_t kVocab = 1500;
  StreamOwner stream;
  const auto device = make_device_sampler(stream.get(), 3);
  const auto host = native::make_sampler(3);
  const Floats row = random_values<float>(kVocab, 21, 4.0f);
  const SamplingParams params = chain(0.8, 100, 0.9, 0.01);
  const auto check = [&](DType dtype, const auto& stored, std::size_t shift) {
    const DeviceArray array(stored, shift);
    const Shape shape{kVocab};
    const TensorView there(array.data(), dtype, shape, Device{DeviceKind::cuda, 0});
    const TensorView here(stored.data(), dtype, shape);
    const Outcome expected = outcome_of(*host, {here, {}, 0, 0.6}, params);
    INFO(dtype_name(dtype) << ", " << shift);
    check_same(outcome_of(*device, {there, {}, 0, 0.6}, params), expected);
    check_same(outcome_of(*device, {here, {}, 0, 0.6}, params), expected);
  };
  std::vector<std::uint16_t> bf16, f16;
  for (const float score : row) bf16.push_back(f32_to_bf16(score));
  for (const float score : row) f16.push_back(f32_to_f16(score));
  for (const std::size_t shift : {0u, 1u}) {
    check(DType::f32, row, shift);
    check(DType::bf16, bf16, shift);
    check(DType::f16, f16, shift);
  }
  const Floats wide = random_values<float>(2 * kVocab, 22);  // every second
  const TensorView strided(wide.data(), DType::f32, {kVocab}, {2}, Device{});
  check_same(outcome_of(*device, {strided, {}, 0, 0.6}, params),
             outcome_of(*host, {strided, {}, 0, 0.6}, params));
  CHECK(device->takes_device_logits());
  const DeviceArray array(row);
  const TensorView there(array.data(), DType::f32, {kVocab}, Device{DeviceKind::cuda, 0});
  NullSink nothing;
  CHECK_THROWS_AS(host->sample({there, {}}, params, nothing), InternalError);
}

TEST_CASE("device sampler: each stage gives the bits of transformers' processors") {
  const nlohmann::json golden =
      native::testing::read_json(native::testing::source_path("fixtures/goldens/tiny/sampling.json"));
  StreamOwner stream;
  const auto device = make_device_sampler(stream.get(), 0);
  const auto floats = [](const std::string& name) {
    const auto values = native::testing::golden_values(
        native::testing::source_path("fixtures/goldens/tiny/sampling.safetensors"), name);
    return Floats(values.begin(), values.end());
  };
  int compared = 0;
  for (const auto& each : golden.at("cases")) {
    const std::string name = each.at("name");
    const Floats prompt = floats(name + ".prompt_ids");
    const Ids history(prompt.begin(), prompt.end());
    SamplingParams params = at_temperature(1);
    std::map<std::string, std::string> stages;
    for (const auto& step : each.at("chain")) {
      const std::string tensor = step.at("tensor"), kind = tensor.substr(tensor.rfind('.') + 1);
      const double value = step.at("value");
      if (kind == "repetition_penalty") params.repetition_penalty = value;
      if (kind == "temperature") params.temperature = value;
      if (kind == "top_k") params.top_k = static_cast<std::int64_t>(value);
      if (kind == "top_p") params.top_p = value;
      if (kind == "min_p") params.min_p = value;
      stages[tensor] = kind == "repetition_penalty" ? "sample.penalized"
                       : kind == "temperature"      ? "sample.scaled"
                                                    : "sample." + kind;
    }
    const Floats logits = floats(name + ".logits");
    const Outcome outcome = outcome_of(*device, step_of(logits, history), params);
    for (const auto& [tensor, stage] : stages) {
      INFO(tensor);
      CHECK(same_bits(outcome.sink.seen.at(stage), floats(tensor)));
      ++compared;
    }
  }
  CHECK(compared > 10);
}

TEST_CASE("device sampler: a token costs one wait and one copy back, and no allocation after the first") {
  constexpr std::int64_t kVocab = 4000;
  StreamOwner stream;
  const Floats row = random_values<float>(kVocab, 31, 3.0f);
  const DeviceArray array(row);
  const TensorView there(array.data(), DType::f32, {kVocab}, Device{DeviceKind::cuda, 0});
  const Ids history = history_of(kVocab);
  NullSink nothing;
  struct Cost {
    SamplingParams params;
    std::int64_t launches;
  };
  for (const auto& [params, launches] :
       {Cost{chain(0, 0, 1, 0), 2}, Cost{chain(0.8, 0, 1, 0), 4}, Cost{chain(0.8, 20, 0.9, 0), 13},
        Cost{with_penalties(chain(0.8, 20, 0.9, 0.1)), 16}}) {
    const auto device = make_device_sampler(stream.get(), 3);
    for (int token = 0; token < 4; ++token) {
      cuda_emulation::counters() = {};
      device->sample({there, history, 5, std::nullopt, 0, static_cast<std::uint64_t>(token)}, params,
                     nothing);
      const cuda_emulation::Counters& cost = cuda_emulation::counters();
      INFO(describe(params) << ", token " << token);
      if (token == 0) {
        CHECK(cost.device_allocations > 0);  // the counters count
        continue;
      }
      CHECK(cost.device_allocations + cost.pinned_allocations + cost.device_frees == 0);
      CHECK(cost.synchronisations == 1);
      CHECK(cost.copies_to_host == 1);
      CHECK(cost.bytes_to_host == static_cast<std::int64_t>(sizeof(DrawResult)));
      CHECK(cost.copies_to_device == (params.repetition_penalty != 1 ? 1 : 0));
      CHECK(cost.memsets == 0);
      CHECK(cost.launches == launches);
    }
  }
}

TEST_CASE("device sampler: vocabularies of changing sizes, and histories that grow") {
  StreamOwner stream;
  const auto device = make_device_sampler(stream.get(), 5);
  const auto host = native::make_sampler(5);
  Ids history;
  for (const std::int64_t vocab : {5, 5000, 7, 4999, 5000}) {
    const Floats row = random_values<float>(vocab, static_cast<unsigned>(vocab));
    history.clear();
    for (std::int64_t i = 0; i < 3 * vocab; ++i) history.push_back(static_cast<TokenId>(i * 3 % vocab));
    SamplingStep step = step_of(row, history);
    step.generated = vocab;
    const SamplingParams params = with_penalties(chain(0.9, 50, 0.9, 0));
    check_same(outcome_of(*device, step, params), outcome_of(*host, step, params));
  }
}
