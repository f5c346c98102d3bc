#include "impl/generator.h"

#include <algorithm>

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
                    std::function<bool(TokenId)> on_token = {}, std::uint64_t seed = 0) {
  NullSink sink;
  return generate(engine, *make_sampler(seed), prompt, options, sink, std::move(on_token));
}

}  // namespace

TEST_CASE("one prompt: greedy continuations over both caches are those of transformers") {
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

TEST_CASE("one prompt: draws follow the seed, or the uniforms it is given") {
  const auto engine = make_cpu_engine(tiny_model(), {});
  const auto prompt = some_tokens(5, 900, 1);
  GenerationOptions options;
  options.max_new_tokens = 12;
  options.sampling.temperature = 2.0;
  const auto seeded = [&](std::uint64_t seed) { return go(*engine, prompt, options, {}, seed).tokens; };
  const auto first = seeded(7);
  CHECK(seeded(7) == first);
  options.cache = CacheKind::fixed;
  CHECK(seeded(7) == first);
  CHECK(seeded(8) != first);
  options.uniforms.assign(12, 0.25);
  CHECK(seeded(8) == seeded(9));
  options.uniforms.resize(5);
  CHECK_THAT(error_of([&] { go(*engine, prompt, options); }), Catch::Contains("5 uniforms"));
}

TEST_CASE("one prompt: going on with a longer prompt draws what one run would have drawn") {
  const auto engine = make_cpu_engine(tiny_model(), {});
  auto prompt = some_tokens(5, 900, 1);
  GenerationOptions options;
  options.max_new_tokens = 12;
  options.sampling.temperature = 2.0;
  const auto whole = go(*engine, prompt, options, {}, 7).tokens;
  prompt.insert(prompt.end(), whole.begin(), whole.begin() + 5);
  options.max_new_tokens = 7;
  const auto rest = go(*engine, prompt, options, {}, 7).tokens;
  CHECK(rest == std::vector<TokenId>(whole.begin() + 5, whole.end()));
}

TEST_CASE("one prompt: frequency and presence penalties spare the prompt, and fall on what was generated") {
  const auto engine = make_cpu_engine(tiny_model(), {});
  const nlohmann::json golden = read_json(source_path("fixtures/goldens/tiny/prompts.json"));
  const auto has = [](const std::vector<TokenId>& ids, TokenId id) {
    return std::ranges::count(ids, id) > 0;
  };
  int repeating = 0;
  for (const auto& each : golden.at("prompts")) {
    auto prompt = each.at("input_ids").get<std::vector<TokenId>>();
    const auto greedy = each.at("greedy").at("new_ids").get<std::vector<TokenId>>();
    std::size_t next = 0;  // the first that the text so far has already
    while (next < greedy.size() && !has(prompt, greedy[next])) prompt.push_back(greedy[next++]);
    if (next == greedy.size()) continue;
    GenerationOptions options;
    options.max_new_tokens = 2;
    options.sampling.presence_penalty = 1e6;
    options.sampling.frequency_penalty = 1e6;
    const auto tokens = go(*engine, prompt, options).tokens;
    CHECK(tokens.at(0) == greedy[next]);
    CHECK(tokens.at(1) != greedy[next]);
    options.sampling = {};
    options.sampling.repetition_penalty = 1e6;
    CHECK(go(*engine, prompt, options).tokens.at(0) != greedy[next]);
    ++repeating;
  }
  CHECK(repeating > 3);
}

TEST_CASE("one prompt: an eos in the prompt stops nothing, one in the output is kept") {
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

TEST_CASE("one prompt: stops where the context is full, and where the caller says so") {
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
    CHECK(go(*engine, some_tokens(8, 31, 3), options).tokens.empty());  // it is full already
  }
}

TEST_CASE("one prompt: refuses prompts and lengths that make no sense") {
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
