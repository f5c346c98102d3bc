// The engine against transformers' goldens, and against itself: steps, batches, probes, refusals.
#include "reference/engine.h"

#include <set>

#include <catch2/catch.hpp>

#include "harness/trace.h"
#include "tests/reference/fixtures.h"
#include "tests/support/temporary_directory.h"

using namespace plumbline;
using test::counted;
using test::error_of;
using test::largest_difference;
using test::some_tokens;

namespace {

const Tensor& recorded(const Trace& trace, Probe probe, int layer = -1, std::size_t step = 0) {
  return trace.steps.at(step).tensors.at({probe, layer});
}

void compare_with_goldens(DType dtype, double limit) {
  const auto engine = reference::make_engine(test::tiny_model(), {dtype, 1});
  const std::string suffix = dtype == DType::f32 ? ".f32" : ".f64";
  const nlohmann::json prompts = test::read_json(test::fixture("goldens/tiny/prompts.json"));
  for (const nlohmann::json& prompt : prompts.at("prompts")) {
    const auto golden =
        test::read_tensors(test::fixture("goldens/tiny/" + prompt.at("file").get<std::string>()));
    const Trace trace = record_prefill(*engine, prompt.at("input_ids").get<std::vector<TokenId>>());
    // Hidden states of the tiny model reach the hundreds: their error counts relative to the row.
    const auto check = [&](const std::string& name, const Tensor& actual, bool relative) {
      INFO(prompt.at("name").get<std::string>() << " " << name << suffix);
      CHECK(largest_difference(golden.at(name + suffix).view(), actual.view(), relative) <= limit);
    };
    check("hidden.embed_tokens", recorded(trace, Probe::embed_tokens), false);
    for (int layer = 0; layer < 5; ++layer) {
      check("hidden.layer." + std::to_string(layer), recorded(trace, Probe::mlp_residual, layer), true);
    }
    check("hidden.norm", recorded(trace, Probe::norm), true);
    check("logits", recorded(trace, Probe::lm_head), false);
    CHECK(largest_difference(golden.at("inv_freq").view(), recorded(trace, Probe::inv_freq).view()) == 0.0);
  }
}

// Asks to write at one site, and doubles what it sees there.
class Doubling final : public ProbeSink {
 public:
  explicit Doubling(OpSite site) : site_(site) {}
  Access access(const ProbeId& id) const override {
    if (id.site == site_) return Access::write;
    return id.site == OpSite{Probe::lm_head, -1} ? Access::read : Access::none;
  }
  void receive(const ProbeId&, const TensorView& view) override { logits = copy_host(view); }
  void modify(const ProbeId&, const MutableTensorView& view) override {
    calls += 1;
    auto* values = static_cast<float*>(view.mutable_data);
    for (std::int64_t i = 0; i < view.shape[0] * view.strides[0]; ++i) values[i] *= 2.0f;
  }
  Tensor logits;
  int calls = 0;

 private:
  OpSite site_;
};

class ThrowingSink final : public ProbeSink {
 public:
  Access access(const ProbeId& id) const override {
    return id.site.probe == Probe::norm && id.sequence == 1 ? Access::read : Access::none;
  }
  void receive(const ProbeId&, const TensorView&) override { throw Error("enough", "sink"); }
};

}  // namespace

TEST_CASE("engine: f32 hidden states and logits are transformers' own", "[reference][engine]") {
  compare_with_goldens(DType::f32, 2e-5);
}

TEST_CASE("engine: f64 hidden states and logits are transformers' own", "[reference][engine]") {
  compare_with_goldens(DType::f64, 1e-10);
}

TEST_CASE("engine: a row has the same bits whatever follows it, in whatever steps", "[reference][engine]") {
  const auto engine =
      reference::make_engine(test::tiny_model(), {GENERATE(DType::f32, DType::f64), GENERATE(1, 2)});
  const std::vector<TokenId> tokens = some_tokens(70);
  const Trace whole = record_prefill(*engine, tokens);
  const auto cache = engine->make_cache({CacheKind::concat, 1, 0, engine->info().storage});
  const std::vector<std::int64_t> split{1, 30, 1, 1, 5, 31, 1};
  const Trace parts = record_steps(*engine, *cache, tokens, split);
  std::int64_t done = 0;
  for (std::size_t step = 0; step < split.size(); ++step) {
    const TensorView logits = recorded(whole, Probe::lm_head).view().rows(done, done + split[step]);
    CHECK(largest_difference(logits, recorded(parts, Probe::lm_head, -1, step).view()) == 0.0);
    done += split[step];
    for (const Probe probe : {Probe::past_key, Probe::past_value}) {
      const TensorView rows = recorded(whole, probe, 4).view().rows(0, done);
      CHECK(largest_difference(rows, recorded(parts, probe, 4, step).view()) == 0.0);
    }
  }
  CHECK(cache->length(0) == 70);
}

TEST_CASE("engine: every probe of the table is emitted once, with its shape", "[reference][engine]") {
  TemporaryDirectory directory;
  test::write_random_checkpoint(directory.path(), test::small_config(), 1);
  const auto engine = reference::make_engine(directory.path(), {});
  const std::vector<TokenId> tokens = some_tokens(9, 50);
  const auto cache = engine->make_cache({});
  const Trace trace = record_steps(*engine, *cache, tokens, std::vector<std::int64_t>{7, 2});
  const auto& tensors = trace.steps.at(1).tensors;
  const std::vector<OpSite> sites = forward_sites(3, true);
  CHECK(tensors.size() == sites.size());
  for (const OpSite site : sites) CHECK(tensors.contains(site));
  CHECK(recorded(trace, Probe::attention_mask_sliding, -1, 1).shape() == Shape{2, 9});
  CHECK(recorded(trace, Probe::scores, 0, 1).shape() == Shape{4, 2, 9});
  CHECK(recorded(trace, Probe::past_key, 2, 1).shape() == Shape{9, 2, 10});
  CHECK(recorded(trace, Probe::q_rope, 2, 1).shape() == Shape{2, 4, 10});
  CHECK(recorded(trace, Probe::lm_head, -1, 1).shape() == Shape{2, 50});
  CHECK(recorded(trace, Probe::position_ids, -1, 1).values<std::int64_t>()[0] == 7);
  // A query of a sliding layer gives no weight to keys beyond its window of three.
  const TensorView probs = recorded(trace, Probe::probs, 1, 1).view();
  CHECK(element_as_f64(probs, 8) == 0.0);  // query 7 of head 0: key 8 is later
  CHECK(element_as_f64(probs, 4) == 0.0);  // key 4 = 7 - 3 is out of the window
  CHECK(element_as_f64(probs, 5) > 0.0);
}

TEST_CASE("engine: a ragged batch gives each sequence what it gets alone", "[reference][engine]") {
  const auto engine = reference::make_engine(test::tiny_model(), {});
  const auto together = engine->make_cache({CacheKind::concat, 3, 0, DType::f32});
  const std::vector<TokenId> a = some_tokens(5);
  const std::vector<TokenId> b = some_tokens(40);
  const auto at = [](std::size_t n) { return counted(0, n); };
  const auto positions_a = at(5);
  const auto positions_b = at(40);
  NullSink sink;
  const std::vector<SequenceStep> batch{{2, a, positions_a, LogitsWanted::all},
                                        {0, b, positions_b, LogitsWanted::last},
                                        {1, a, positions_a, LogitsWanted::none}};
  const Logits logits = engine->forward(batch, *together, sink);
  CHECK(logits.steps[0].shape == Shape{5, 1024});
  CHECK(logits.steps[1].shape == Shape{1, 1024});
  CHECK(logits.steps[2].shape == Shape{0, 1024});
  CHECK(together->length(1) == 5);
  const Tensor rows_a = engine->to_host(logits.steps[0]);
  const Tensor last_b = engine->to_host(logits.steps[1]);
  const Trace alone_a = record_prefill(*engine, a);
  const Trace alone_b = record_prefill(*engine, b);
  CHECK(largest_difference(rows_a.view(), recorded(alone_a, Probe::lm_head).view()) == 0.0);
  CHECK(largest_difference(last_b.view(), recorded(alone_b, Probe::lm_head).view().last_rows(1)) == 0.0);
}

TEST_CASE("engine: what a sink writes is what goes on", "[reference][engine]") {
  const auto engine = reference::make_engine(test::tiny_model(), {});
  const std::vector<TokenId> tokens = some_tokens(4);
  const auto positions = counted(0, 4);
  const SequenceStep step{0, tokens, positions, LogitsWanted::all};
  const Tensor plain = recorded(record_prefill(*engine, tokens), Probe::lm_head);
  for (const OpSite site : {OpSite{Probe::norm, -1}, OpSite{Probe::q_proj, 0}, OpSite{Probe::past_value, 4},
                            OpSite{Probe::act, 2}, OpSite{Probe::embed_tokens, -1}}) {
    INFO(site_name(site));
    Doubling sink(site);
    engine->forward(std::span(&step, 1), *engine->make_cache({}), sink);
    CHECK(sink.calls == 1);
    CHECK(largest_difference(plain.view(), sink.logits.view()) > 1e-3);
  }
  Doubling head({Probe::norm, -1});  // twice the last hidden state, twice the logits, exactly
  engine->forward(std::span(&step, 1), *engine->make_cache({}), head);
  for (std::size_t i = 0; i < 4 * 1024; ++i) {
    if (head.logits.values<float>()[i] != 2.0f * plain.values<float>()[i]) FAIL("logit " << i);
  }
  CHECK(largest_difference(recorded(record_prefill(*engine, tokens), Probe::lm_head).view(), plain.view()) ==
        0.0);
}

TEST_CASE("engine: refuses bad steps and leaves the cache as it was", "[reference][engine]") {
  const auto engine = reference::make_engine(test::tiny_model(), {});
  const auto other = reference::make_engine(test::tiny_model(), {});
  const auto cache = engine->make_cache({CacheKind::fixed, 2, 8, DType::f32});
  NullSink sink;
  const std::vector<TokenId> tokens{1, 2, 3};
  const auto positions = counted(0, 3);
  const SequenceStep good{0, tokens, positions};
  engine->forward(std::span(&good, 1), *cache, sink);

  const auto refusal = [&](std::vector<SequenceStep> steps, ProbeSink& with) {
    const std::string message = error_of([&] { engine->forward(steps, *cache, with); });
    CHECK(cache->length(0) == 3);
    CHECK(cache->length(1) == 0);
    return message;
  };
  const std::vector<TokenId> beyond{1024};
  const std::vector<TokenId> negative{-1};
  const std::vector<std::int64_t> one{3};
  const std::vector<std::int64_t> below{-1};
  const std::vector<TokenId> many(6, 5);
  const auto many_positions = counted(3, 6);
  using Catch::Contains;
  CHECK_THAT(refusal({{0, {}, {}}}, sink), Contains("no tokens"));
  CHECK_THAT(refusal({{0, beyond, one}}, sink), Contains("token 1024 is outside the vocabulary of 1024"));
  CHECK_THAT(refusal({{0, negative, one}}, sink), Contains("token -1"));
  CHECK_THAT(refusal({{0, tokens, one}}, sink), Contains("1 positions for 3 tokens"));
  CHECK_THAT(refusal({{1, std::span(tokens).first(1), below}}, sink), Contains("position -1 is negative"));
  CHECK_THAT(refusal({{2, tokens, positions}}, sink), Contains("sequence 2 is not in the cache"));
  CHECK_THAT(refusal({{1, tokens, positions}, {1, tokens, positions}}, sink), Contains("named twice"));
  CHECK_THAT(refusal({{0, many, many_positions}}, sink),
             Contains("9 tokens exceed the cache's capacity of 8"));
  ThrowingSink throwing;
  CHECK_THAT(refusal({{0, tokens, positions}, {1, tokens, positions}}, throwing), Contains("enough"));
  const std::string foreign =
      error_of([&] { engine->forward(std::span(&good, 1), *other->make_cache({}), sink); });
  CHECK_THAT(foreign, Contains("made by another engine"));
}

TEST_CASE("engine: refuses caches and dtypes that it does not have", "[reference][engine]") {
  const auto engine = reference::make_engine(test::tiny_model(), {});
  CHECK_THROWS_AS(engine->make_cache({CacheKind::concat, 1, 0, DType::bf16}), Error);
  CHECK_THROWS_AS(engine->make_cache({CacheKind::fixed, 1, 0, DType::f32}), Error);
  CHECK_THROWS_AS(engine->make_cache({CacheKind::concat, 0, 0, DType::f32}), Error);
  CHECK_THROWS_AS(engine->make_cache({CacheKind::concat, 1, -1, DType::f32}), Error);
  CHECK_THROWS_AS(reference::make_engine(test::tiny_model(), {DType::i64, 1}), Error);
  CHECK_THROWS_AS(reference::make_engine(test::tiny_model(), {DType::f32, 0}), Error);
  CHECK_THROWS_AS(reference::make_engine(test::fixture("nowhere"), {}), Error);
}

TEST_CASE("cache: keeps tokens; clears, crops, forks", "[reference][engine]") {
  const auto engine = reference::make_engine(test::tiny_model(), {});
  const auto cache = engine->make_cache({CacheKind::concat, 2, 0, DType::f32});
  const std::vector<TokenId> tokens = some_tokens(6);
  const auto positions = counted(0, 6);
  NullSink sink;
  const SequenceStep step{0, tokens, positions};
  engine->forward(std::span(&step, 1), *cache, sink);
  CHECK_FALSE(cache->holds_keys());
  CHECK_THROWS_AS(cache->read_key(0, 0), InternalError);
  CHECK_THROWS_AS(cache->read_value(0, 0), InternalError);
  cache->fork(0, 1);
  cache->crop(0, 4);
  CHECK(cache->length(0) == 4);
  CHECK(cache->length(1) == 6);
  CHECK(cache->bytes() > 0);
  CHECK_THROWS_AS(cache->crop(0, 5), Error);
  CHECK_THROWS_AS(cache->crop(0, -1), Error);
  CHECK_THROWS_AS(cache->fork(0, 2), Error);
  CHECK_THROWS_AS(cache->evict(0, 0, 1), Error);  // it recomputes: nothing would be left of what went
  // From the cropped history on, the last two tokens give what the whole gave.
  const SequenceStep rest{0, std::span(tokens).subspan(4), std::span(positions).subspan(4)};
  const Tensor again = engine->to_host(engine->forward(std::span(&rest, 1), *cache, sink).steps[0]);
  const Tensor whole = recorded(record_prefill(*engine, tokens), Probe::lm_head);
  CHECK(largest_difference(again.view(), whole.view().last_rows(1)) == 0.0);
  cache->clear(0);
  CHECK(cache->length(0) == 0);
}
