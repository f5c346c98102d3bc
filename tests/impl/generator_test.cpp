#include "impl/generator.h"

#include <catch2/catch.hpp>

#include "impl/config.h"
#include "impl/cpu/engine.h"
#include "impl/sampler.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

GenerationResult go(Engine& engine, std::span<const TokenId> prompt, const GenerationOptions& options,
                    std::function<bool(TokenId)> on_token = {}) {
  NullSink sink;
  return generate(engine, *make_sampler(), prompt, options, sink, std::move(on_token));
}

}  // namespace

TEST_CASE("generator: greedy continuations over both caches are those of transformers") {
  const auto engine = make_cpu_engine(tiny_model(), {});
  const auto defaults = load_generation_config(tiny_model(), engine->config());
  const nlohmann::json golden = read_json(source_path("fixtures/goldens/tiny/prompts.json"));
  for (const auto& prompt : golden.at("prompts")) {
    for (const CacheKind kind : {CacheKind::concat, CacheKind::fixed}) {
      INFO(prompt.at("name"));
      GenerationOptions options;
      options.max_new_tokens = prompt.at("greedy").at("max_new_tokens");
      options.eos_token_ids = defaults.eos_token_ids;
      options.cache = kind;
      const auto ids = prompt.at("input_ids").get<std::vector<TokenId>>();
      const GenerationResult result = go(*engine, ids, options);
      CHECK(result.tokens == prompt.at("greedy").at("new_ids").get<std::vector<TokenId>>());
      const bool ended = prompt.at("greedy").at("stop_reason").get<std::string>() == "eos";
      CHECK(result.stop == (ended ? StopReason::eos : StopReason::max_new_tokens));
      CHECK(result.cache_length == static_cast<std::int64_t>(ids.size() + result.tokens.size()) - 1);
    }
  }
}

TEST_CASE("generator: draws follow the seed, or the uniforms it is given") {
  const auto engine = make_cpu_engine(tiny_model(), {});
  const auto prompt = some_tokens(5, 900, 1);
  GenerationOptions options;
  options.max_new_tokens = 12;
  options.sampling.temperature = 2.0;
  options.seed = 7;
  const auto first = go(*engine, prompt, options).tokens;
  CHECK(go(*engine, prompt, options).tokens == first);
  options.cache = CacheKind::fixed;
  CHECK(go(*engine, prompt, options).tokens == first);
  options.seed = 8;
  CHECK(go(*engine, prompt, options).tokens != first);
  options.uniforms.assign(12, 0.25);
  const auto given = go(*engine, prompt, options).tokens;
  options.seed = 9;
  CHECK(go(*engine, prompt, options).tokens == given);
  options.uniforms.resize(5);
  CHECK_THAT(error_of([&] { go(*engine, prompt, options); }), Catch::Contains("5 uniforms"));
}

TEST_CASE("generator: an eos in the prompt stops nothing, one in the output is kept") {
  const auto engine = make_cpu_engine(tiny_model(), {});
  const std::vector<TokenId> prompt{505, 997, 505};
  GenerationOptions options;
  options.max_new_tokens = 6;
  options.eos_token_ids = {997};
  const auto free = go(*engine, prompt, options);
  REQUIRE(free.tokens.size() > 1);
  options.eos_token_ids = {997, free.tokens[1]};
  const auto stopped = go(*engine, prompt, options);
  CHECK(stopped.stop == StopReason::eos);
  CHECK(stopped.tokens.back() == free.tokens[1]);
}

TEST_CASE("generator: stops where the context is full, and where the caller says so") {
  const ScratchDirectory scratch;
  write_random_model(scratch, R"({"vocab_size": 31, "hidden_size": 16, "intermediate_size": 20,
      "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
      "max_position_embeddings": 8})",
                     4);
  const auto engine = make_cpu_engine(scratch.path(), {.threads = 1});
  const auto prompt = some_tokens(5, 31, 2);
  for (const CacheKind kind : {CacheKind::concat, CacheKind::fixed}) {
    GenerationOptions options;
    options.cache = kind;
    options.max_new_tokens = 50;
    const auto full = go(*engine, prompt, options);
    CHECK(full.stop == StopReason::context_full);
    CHECK(full.tokens.size() == 3);
    CHECK(full.cache_length == 7);
    int seen = 0;
    const auto early = go(*engine, prompt, options, [&](TokenId) { return ++seen < 2; });
    CHECK(early.tokens.size() == 2);
    CHECK(early.stop == StopReason::callback);
    CHECK(go(*engine, some_tokens(8, 31, 3), options).tokens.size() == 1);
  }
}

TEST_CASE("generator: refuses prompts and lengths that make no sense") {
  const auto engine = make_cpu_engine(tiny_model(), {});
  GenerationOptions options;
  const std::vector<TokenId> unknown{5000}, prompt{1};
  CHECK_THAT(error_of([&] { go(*engine, {}, options); }), Catch::Contains("prompt has no tokens"));
  CHECK_THAT(error_of([&] { go(*engine, unknown, options); }), Catch::Contains("5000"));
  options.max_new_tokens = -1;
  CHECK_THAT(error_of([&] { go(*engine, prompt, options); }), Catch::Contains("max_new_tokens"));
  options.max_new_tokens = 0;
  CHECK(go(*engine, prompt, options).tokens.empty());
}
