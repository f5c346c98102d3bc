// What every native engine must do, on whatever device: compiled for each (tests/impl/engine_under_test.h).
#include <cmath>
#include <limits>
#include <map>

#include <catch2/catch.hpp>

#include "impl/positions.h"
#include "tests/impl/engine_under_test.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

constexpr const char* kSliding = R"({"model_type": "qwen2", "vocab_size": 97, "hidden_size": 48,
  "intermediate_size": 70, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
  "use_sliding_window": true, "sliding_window": 7, "max_window_layers": 1, "rope_theta": 10000.0})";

// Copies everything it is shown.
class RecordingSink final : public ProbeSink {
 public:
  explicit RecordingSink(Engine& engine) : engine_(engine) {}
  std::map<std::pair<SequenceId, std::string>, Tensor> seen;
  Access access(const ProbeId&) const override { return Access::read; }
  void receive(const ProbeId& id, const TensorView& view) override {
    seen[{id.sequence, site_name(id.site)}] = engine_.to_host(view);
  }

 private:
  Engine& engine_;
};

// Writes at one site.
class WritingSink final : public ProbeSink {
 public:
  explicit WritingSink(std::string name) : name_(std::move(name)) {}
  bool throws = false;
  int calls = 0;
  Access access(const ProbeId& id) const override {
    return site_name(id.site) == name_ ? Access::write : Access::none;
  }
  void receive(const ProbeId&, const TensorView&) override { FAIL("receive() where write was asked for"); }
  void modify(const ProbeId&, const MutableTensorView& view) override {
    ++calls;
    auto* values = static_cast<float*>(view.mutable_data);
    for (std::int64_t i = 0; i < view.elements(); ++i) values[i] *= 0.5f;
    if (throws) throw Error("the sink gives up", "test");
  }

 private:
  std::string name_;
};

std::unique_ptr<Cache> new_cache(Engine& engine, CacheKind kind = CacheKind::concat,
                                 std::int64_t sequences = 1) {
  return engine.make_cache({kind, sequences, kind == CacheKind::fixed ? 128 : 0, DType::f32});
}

std::vector<float> prefill(Engine& engine, std::span<const TokenId> tokens) {
  return run(engine, *new_cache(engine), tokens);
}

std::vector<float> rows(const std::vector<float>& all, std::size_t vocab, std::size_t first,
                        std::size_t count) {
  const auto begin = all.begin() + static_cast<std::ptrdiff_t>(first * vocab);
  return {begin, begin + static_cast<std::ptrdiff_t>(count * vocab)};
}

}  // namespace

TEST_CASE("engine: logits and hidden states equal the goldens of transformers in f32 and f64") {
  const auto engine = make_engine_under_test(tiny_model());
  const nlohmann::json golden = read_json(source_path("fixtures/goldens/tiny/prompts.json"));
  for (const auto& prompt : golden.at("prompts")) {
    INFO(prompt.at("name"));
    const auto file = source_path("fixtures/goldens/tiny") / prompt.at("file").get<std::string>();
    RecordingSink sink(*engine);
    const auto ids = prompt.at("input_ids").get<std::vector<TokenId>>();
    run(*engine, *new_cache(*engine), ids, LogitsWanted::all, 0, sink);
    std::map<std::string, std::string> pairs{
        {"lm_head", "logits"}, {"model.norm", "hidden.norm"}, {"model.embed_tokens", "hidden.embed_tokens"}};
    for (int layer = 0; layer < 5; ++layer) {
      pairs["model.layers." + std::to_string(layer) + ".mlp_residual"] =
          "hidden.layer." + std::to_string(layer);
    }
    for (const auto& [site, name] : pairs) {
      INFO(site);
      const std::span<const float> actual = sink.seen.at({0, site}).values<float>();
      for (const char* dtype : {".f32", ".f64"}) {
        const std::vector<double> expected = golden_values(file, name + dtype);
        REQUIRE(actual.size() == expected.size());
        double error = 0;
        for (std::size_t i = 0; i < expected.size(); ++i) {
          const double difference = std::fabs(static_cast<double>(actual[i]) - expected[i]);
          REQUIRE(std::isfinite(difference));
          error = std::max(error, difference);
        }
        CHECK(error <= 1e-4);
      }
    }
  }
}

TEST_CASE("engine: whole = chunked = token by token, over both caches, sliding windows included") {
  const ScratchDirectory sliding;
  write_random_model(sliding, kSliding, 5);
  for (const auto& directory : {tiny_model(), sliding.path()}) {
    const auto engine = make_engine_under_test(directory);
    const auto vocab = engine->config().vocab_size;
    const auto ids = some_tokens(40, vocab, 2);
    const auto whole = prefill(*engine, ids);
    for (const CacheKind kind : {CacheKind::concat, CacheKind::fixed}) {
      for (const std::size_t chunk : {1, 3, 17}) {
        const auto cache = new_cache(*engine, kind);
        std::vector<float> chunked;
        for (std::size_t at = 0; at < ids.size(); at += chunk) {
          const auto part = std::span(ids).subspan(at, std::min(chunk, ids.size() - at));
          const auto logits = run(*engine, *cache, part);
          chunked.insert(chunked.end(), logits.begin(), logits.end());
        }
        INFO("chunks of " << chunk);
        CHECK(same_bits(chunked, whole));
        CHECK(cache->length(0) == 40);
      }
    }
  }
}

TEST_CASE("engine: a ragged batch gives each sequence the bits it has alone") {
  const auto engine = make_engine_under_test(tiny_model());
  const std::vector<std::vector<TokenId>> prompts{some_tokens(9, 1024, 3), some_tokens(1, 1024, 4),
                                                  some_tokens(26, 1024, 5)};
  for (const CacheKind kind : {CacheKind::concat, CacheKind::fixed}) {
    const auto cache = new_cache(*engine, kind, 4);
    run(*engine, *cache, prompts[0], LogitsWanted::none, 2);  // sequence 2 has a past
    std::vector<std::vector<std::int64_t>> positions;
    std::vector<SequenceStep> steps;
    const std::vector<SequenceId> order{2, 0, 3};
    for (std::size_t i = 0; i < 3; ++i) {
      positions.push_back(
          position_ids(cache->length(order[i]), static_cast<std::int64_t>(prompts[i].size())));
    }
    const LogitsWanted wanted[] = {LogitsWanted::last, LogitsWanted::all, LogitsWanted::none};
    for (std::size_t i = 0; i < 3; ++i) steps.push_back({order[i], prompts[i], positions[i], wanted[i]});
    NullSink sink;
    const Logits logits = engine->forward(steps, *cache, sink);
    REQUIRE(logits.steps.size() == 3);
    CHECK(logits.steps[0].shape == Shape{1, 1024});
    CHECK(logits.steps[1].shape == Shape{1, 1024});
    CHECK(logits.steps[2].shape == Shape{0, 1024});
    const Tensor last_logits = engine->to_host(logits.steps[0]);
    const Tensor single_logits = engine->to_host(logits.steps[1]);
    const std::span<const float> last = last_logits.values<float>(), single = single_logits.values<float>();
    auto twice = prompts[0];
    twice.insert(twice.end(), prompts[0].begin(), prompts[0].end());
    CHECK(same_bits(last, rows(prefill(*engine, twice), 1024, 17, 1)));
    CHECK(same_bits(single, prefill(*engine, prompts[1])));
    const auto lone = new_cache(*engine);
    run(*engine, *lone, prompts[2], LogitsWanted::none);
    CHECK(same_bits(cache->read_key(4, 3).values<float>(), lone->read_key(4, 0).values<float>()));
    CHECK(same_bits(cache->read_value(4, 3).values<float>(), lone->read_value(4, 0).values<float>()));
  }
}

TEST_CASE("engine: with every probe on, the same bits, and every site of the table is shown with its shape") {
  const ScratchDirectory sliding;
  write_random_model(sliding, kSliding, 6);
  for (const auto& directory : {tiny_model(), sliding.path()}) {
    const auto engine = make_engine_under_test(directory);
    const ModelConfig& c = engine->config();
    const auto ids = some_tokens(19, c.vocab_size, 7);
    const auto cache = new_cache(*engine);
    const auto plain = new_cache(*engine);
    const auto first_silent = run(*engine, *plain, std::span(ids).first(12));
    const auto then_silent = run(*engine, *plain, std::span(ids).subspan(12), LogitsWanted::last);
    RecordingSink early(*engine), late(*engine);
    CHECK(
        same_bits(first_silent, run(*engine, *cache, std::span(ids).first(12), LogitsWanted::all, 0, early)));
    CHECK(same_bits(then_silent,
                    run(*engine, *cache, std::span(ids).subspan(12), LogitsWanted::last, 0, late)));

    const bool differs = directory != tiny_model();
    const auto sites = forward_sites(static_cast<int>(c.num_hidden_layers), differs);
    CHECK(late.seen.size() == sites.size());
    const std::map<Axis, std::int64_t> sizes{{Axis::tokens, 7},
                                             {Axis::keys, 19},
                                             {Axis::hidden, c.hidden_size},
                                             {Axis::query_dim, c.num_attention_heads * c.head_dim},
                                             {Axis::key_value_dim, c.num_key_value_heads * c.head_dim},
                                             {Axis::heads, c.num_attention_heads},
                                             {Axis::kv_heads, c.num_key_value_heads},
                                             {Axis::head_dim, c.head_dim},
                                             {Axis::rotary_pairs, c.head_dim / 2},
                                             {Axis::intermediate, c.intermediate_size},
                                             {Axis::vocab, c.vocab_size}};
    for (const OpSite site : sites) {
      INFO(site_name(site));
      REQUIRE(late.seen.count({0, site_name(site)}) == 1);
      const Tensor& tensor = late.seen.at({0, site_name(site)});
      Shape expected;
      for (const Axis axis : probe_spec(site.probe).shape) expected.append(sizes.at(axis));
      if (site.probe == Probe::lm_head) expected.set(0, 1);  // only the last row was asked for
      CHECK(tensor.shape() == expected);
      CHECK(tensor.dtype() == probe_spec(site.probe).dtype);
    }
  }
}

TEST_CASE("engine: what a sink writes is what the engine goes on with, at every floating probe") {
  const auto engine = make_engine_under_test(tiny_model());
  const auto ids = some_tokens(6, 1024, 8);
  const auto clean = prefill(*engine, ids);
  for (const OpSite site : forward_sites(5, false)) {
    if (!is_floating(probe_spec(site.probe).dtype)) continue;
    INFO(site_name(site));
    WritingSink sink(site_name(site));
    const auto changed = run(*engine, *new_cache(*engine), ids, LogitsWanted::all, 0, sink);
    CHECK(sink.calls == 1);
    CHECK_FALSE(same_bits(changed, clean));
  }
  CHECK(same_bits(prefill(*engine, ids), clean));
}

TEST_CASE("engine: a call that throws leaves the cache as it was") {
  const auto engine = make_engine_under_test(tiny_model());
  const auto ids = some_tokens(8, 1024, 9);
  for (const CacheKind kind : {CacheKind::concat, CacheKind::fixed}) {
    for (const char* site : {"past_key_values.2.key", "past_key_values.4.value", "lm_head"}) {
      const auto cache = new_cache(*engine, kind, 2);
      run(*engine, *cache, ids);
      const Tensor key = cache->read_key(2, 0), value = cache->read_value(4, 0);
      WritingSink sink(site);
      sink.throws = true;
      CHECK_THAT(error_of([&] { run(*engine, *cache, ids, LogitsWanted::all, 0, sink); }),
                 Catch::Contains("gives up"));
      CHECK(cache->length(0) == 8);
      CHECK(same_bits(cache->read_key(2, 0).values<float>(), key.values<float>()));
      CHECK(same_bits(cache->read_value(4, 0).values<float>(), value.values<float>()));
      const auto fresh = new_cache(*engine);
      run(*engine, *fresh, ids);
      CHECK(same_bits(run(*engine, *cache, ids), run(*engine, *fresh, ids)));
    }
  }
}

TEST_CASE("engine: refuses steps that make no sense, and changes nothing") {
  const auto engine = make_engine_under_test(tiny_model());
  const auto other = make_engine_under_test(tiny_model());
  const auto cache = new_cache(*engine, CacheKind::concat, 2);
  const std::vector<TokenId> good{1, 2}, high{1, 1024}, negative{-1, 2};
  const std::vector<std::int64_t> positions{0, 1}, one{0}, below{0, -1};
  NullSink sink;
  const auto error = [&](std::vector<SequenceStep> steps, Cache& with) {
    return error_of([&] { engine->forward(steps, with, sink); });
  };
  CHECK_THAT(error({}, *cache), Catch::Contains("no steps"));
  CHECK_THAT(error({{0, {}, {}, LogitsWanted::last}}, *cache), Catch::Contains("no tokens"));
  CHECK_THAT(error({{0, high, positions, LogitsWanted::last}}, *cache), Catch::Contains("1024"));
  CHECK_THAT(error({{0, negative, positions, LogitsWanted::last}}, *cache), Catch::Contains("-1"));
  CHECK_THAT(error({{0, good, one, LogitsWanted::last}}, *cache),
             Catch::Contains("1 positions for 2 tokens"));
  CHECK_THAT(error({{0, good, below, LogitsWanted::last}}, *cache), Catch::Contains("negative"));
  CHECK_THAT(error({{2, good, positions, LogitsWanted::last}}, *cache), Catch::Contains("no sequence 2"));
  CHECK_THAT(error({{-1, good, positions, LogitsWanted::last}}, *cache), Catch::Contains("no sequence -1"));
  CHECK_THAT(
      error({{1, good, positions, LogitsWanted::last}, {1, good, positions, LogitsWanted::last}}, *cache),
      Catch::Contains("named twice"));
  CHECK_THAT(error({{0, good, positions, LogitsWanted::last}}, *new_cache(*other)),
             Catch::Contains("another engine"));
  CHECK(cache->length(0) == 0);
  CHECK(cache->length(1) == 0);
}
