#include "impl/activation_buffer.h"

#include <catch2/catch.hpp>

#include "harness/trace.h"
#include "impl/cpu/engine.h"
#include "tests/impl/generation/listening_support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

const OpSite kStream{Probe::mlp_residual, 2}, kAct{Probe::act, 0}, kKey{Probe::k_rope, 4};

std::unique_ptr<Engine> tiny() {
  return make_cpu_engine(tiny_model(), {.threads = 1});
}

std::unique_ptr<Cache> cache_of(Engine& engine, std::int64_t sequences) {
  CacheSpec spec;
  spec.max_sequences = sequences;
  return engine.make_cache(spec);
}

// Calls over one cache, each given as its steps; what a recorder sees of the same calls goes to `trace`.
struct Calls {
  std::unique_ptr<Engine> engine = tiny();
  std::unique_ptr<Cache> cache = cache_of(*engine, 2);
  std::unique_ptr<Cache> recorded = cache_of(*engine, 2);
  TraceRecorder recorder{*engine};

  void feed(ActivationBuffer& buffer, std::span<const SequenceStep> steps) {
    buffer.begin(steps);
    engine->forward(steps, *cache, buffer);
    recorder.begin(steps);
    engine->forward(steps, *recorded, recorder);
  }
};

bool row_is(const TensorView& rows, std::int64_t row, const Tensor& step, std::int64_t token) {
  const auto width = static_cast<std::size_t>(rows.shape[1]);
  const float* actual = rows.as<float>() + static_cast<std::size_t>(row) * width;
  const float* expected = step.values<float>().data() + static_cast<std::size_t>(token) * width;
  return same_bits({actual, width}, {expected, width});
}

}  // namespace

TEST_CASE("activation buffer: prefill and decode steps of several sequences, with where each row came from") {
  Calls calls;
  const std::vector<OpSite> probes{kStream, kAct, kKey};
  ActivationBuffer buffer(*calls.engine, probes, 12);
  const void* const before = buffer.view(kStream).data;
  CHECK(buffer.bytes() == 12 * (120 + 328 + 2 * 20) * 4);

  const auto a = some_tokens(5, 1024, 1), b = some_tokens(3, 1024, 2), c = some_tokens(1, 1024, 3);
  const std::vector<std::int64_t> from_0{0, 1, 2, 3, 4}, at_5{5}, at_3{3};
  const std::vector<SequenceStep> prefill{{1, a, from_0, LogitsWanted::none},
                                          {0, b, std::span(from_0).first(3), LogitsWanted::last}};
  const std::vector<SequenceStep> decode{{0, c, at_3, LogitsWanted::last}, {1, c, at_5, LogitsWanted::none}};
  calls.feed(buffer, prefill);
  CHECK(buffer.rows() == 8);
  calls.feed(buffer, decode);
  REQUIRE(buffer.rows() == 10);

  const Trace trace = calls.recorder.take();
  const auto step_of = [&](SequenceId sequence, int step) -> const TraceStep& {
    for (const TraceStep& each : trace.steps) {
      if (each.sequence == sequence && each.step == step) return each;
    }
    throw std::logic_error("no such step");
  };
  const std::vector<ActivationOrigin> expected{{1, 0, a[0]},    {1, 1, a[1]},   {1, 2, a[2]}, {1, 3, a[3]},
                                               {1, 4, a[4]},    {0, 0, b[0]},   {0, 1, b[1]}, {0, 2, b[2]},
                                               {0, 3, c[0], 1}, {1, 5, c[0], 1}};
  CHECK(std::vector(buffer.origins().begin(), buffer.origins().end()) == expected);
  for (const OpSite probe : probes) {
    const TensorView rows = buffer.view(probe);
    CHECK(rows.shape[0] == 10);
    for (std::int64_t row = 0; row < 10; ++row) {
      const ActivationOrigin& origin = expected[static_cast<std::size_t>(row)];
      const bool decoded = row >= 8;
      const TraceStep& step = step_of(origin.sequence, decoded ? 1 : 0);
      INFO(site_name(probe) << ", row " << row);
      CHECK(row_is(rows, row, step.tensors.at(probe), decoded ? 0 : origin.position));
    }
  }
  CHECK(buffer.view(kStream).data == before);
}

TEST_CASE("activation buffer: full is one clear error, and changes nothing") {
  Calls calls;
  ActivationBuffer buffer(*calls.engine, std::vector<OpSite>{kStream}, 4);
  const auto tokens = some_tokens(3, 1024, 1);
  const std::vector<std::int64_t> positions{0, 1, 2};
  const SequenceStep step{0, tokens, positions, LogitsWanted::none};
  calls.feed(buffer, {&step, 1});
  const Tensor rows = copy_host(buffer.view(kStream));
  CHECK(error_of([&] {
          buffer.begin({&step, 1});
        }).find("is full: holds 3 of 4 tokens, and 3 more come") != std::string::npos);
  CHECK(buffer.rows() == 3);
  CHECK(buffer.origins().size() == 3);
  CHECK(same_bits(copy_host(buffer.view(kStream)).values<float>(), rows.values<float>()));
  buffer.clear();
  CHECK(buffer.rows() == 0);
  buffer.begin({&step, 1});
}

TEST_CASE("activation buffer: rows of a call that failed, or that was not announced, do not count") {
  Calls calls;
  ActivationBuffer buffer(*calls.engine, std::vector<OpSite>{kStream, kAct}, 8);
  const auto tokens = some_tokens(2, 1024, 1);
  const std::vector<std::int64_t> positions{0, 1};
  const SequenceStep step{0, tokens, positions, LogitsWanted::none};
  const std::vector<SequenceStep> twice{step, step};
  buffer.begin(twice);
  CHECK_THROWS_AS(calls.engine->forward(twice, *calls.cache, buffer), Error);
  CHECK(buffer.rows() == 0);
  calls.feed(buffer, {&step, 1});
  CHECK(buffer.rows() == 2);
  calls.engine->forward({&step, 1}, *calls.cache, buffer);
  CHECK(buffer.rows() == 2);
}

TEST_CASE("activation buffer: a call that throws behind the probes that are kept leaves no rows") {
  Listening tiny_listening;
  ActivationBuffer buffer(*tiny_listening.engine, std::vector<OpSite>{kStream, {Probe::embed_tokens, -1}},
                          16);
  for (const OpSite late : {OpSite{Probe::act, 4}, OpSite{Probe::norm, -1}, OpSite{Probe::lm_head, -1}}) {
    ThrowingSink throws(late);
    SinkList both;
    both.add(throws);
    both.add(buffer);
    CHECK_THROWS_AS(tiny_listening.run(ragged_calls(0)[0], &both), std::runtime_error);
    CHECK(buffer.rows() == 0);
  }
  tiny_listening.run(ragged_calls(0)[0], &buffer);
  CHECK(buffer.rows() == 8);
}

TEST_CASE("activation buffer: what cannot be kept is refused") {
  const auto engine = tiny();
  const auto refusal = [&](std::vector<OpSite> probes, std::int64_t capacity) {
    return error_of([&] { ActivationBuffer(*engine, probes, capacity); });
  };
  for (const Probe probe :
       {Probe::input_ids, Probe::attention_mask, Probe::inv_freq, Probe::lm_head, Probe::sample_probs}) {
    CHECK(refusal({{probe, -1}}, 4).find("has no row of activations") != std::string::npos);
  }
  for (const Probe probe : {Probe::scores, Probe::probs, Probe::past_key, Probe::past_value})
    CHECK(refusal({{probe, 0}}, 4).find("has no row of activations") != std::string::npos);
  CHECK(refusal({{Probe::act, 5}}, 4).find("the model has 5 layers") != std::string::npos);
  CHECK(refusal({{Probe::act, -1}}, 4).find("is not there") != std::string::npos);
  CHECK(refusal({kAct, kAct}, 4).find("named twice") != std::string::npos);
  CHECK(refusal({}, 4).find("no probes") != std::string::npos);
  CHECK(refusal({kAct}, 0).find("capacity is 0") != std::string::npos);
  CHECK(refusal({kAct}, std::int64_t{1} << 60).find("no memory for") != std::string::npos);
  CHECK(refusal({kAct, {Probe::norm, -1}}, 4).empty());
  ActivationBuffer kept(*engine, std::vector<OpSite>{kAct}, 4);
  CHECK(error_of([&] { kept.view(kStream); }).find("is not kept") != std::string::npos);
}
