#include "reference/generator.h"

#include <catch2/catch.hpp>

#include "reference/engine.h"
#include "reference/sampler.h"
#include "tests/reference/fixtures.h"
#include "tests/support/temporary_directory.h"

using namespace plumbline;
using Catch::Contains;
using test::error_of;
using test::some_tokens;

namespace {

GenerationResult generate(Engine& engine, const std::vector<TokenId>& prompt,
                          const GenerationOptions& options, std::uint64_t seed = 0) {
  const auto sampler = reference::make_sampler(seed);
  return reference::generate(engine, *sampler, prompt, options);
}

}  // namespace

TEST_CASE("generator: greedy text is transformers' own", "[reference][generator]") {
  const auto engine = reference::make_engine(test::tiny_model(), {DType::f32, 1});
  const nlohmann::json prompts = test::read_json(test::fixture("goldens/tiny/prompts.json"));
  for (const nlohmann::json& prompt : prompts.at("prompts")) {
    INFO(prompt.at("name").get<std::string>());
    GenerationOptions options;
    options.max_new_tokens = 24;
    options.eos_token_ids = {999, 997};
    const auto ids = prompt.at("input_ids").get<std::vector<TokenId>>();
    auto expected = prompt.at("greedy").at("new_ids").get<std::vector<TokenId>>();
    const bool cut = expected.size() > 24;
    if (cut) expected.resize(24);
    const GenerationResult result = generate(*engine, ids, options);
    CHECK(result.tokens == expected);
    CHECK(result.cache_length == static_cast<std::int64_t>(ids.size() + expected.size()) - 1);
    CHECK(result.stop == (cut || expected.back() < 997 ? StopReason::max_new_tokens : StopReason::eos));
  }
}

TEST_CASE("generator: the seed decides the draws, or one stream of uniforms", "[reference][generator]") {
  const auto engine = reference::make_engine(test::tiny_model(), {DType::f32, 1});
  GenerationOptions options;
  options.sampling.temperature = 2.5;
  options.max_new_tokens = 8;
  const std::vector<TokenId> prompt = some_tokens(3);
  const auto seeded = [&](std::uint64_t seed) { return generate(*engine, prompt, options, seed).tokens; };
  const auto first = seeded(5);
  CHECK(first.size() == 8);
  CHECK(first == seeded(5));
  CHECK(first != seeded(6));
  options.uniforms = {0.0, 0.999, 0.5, 0.1, 0.2, 0.3, 0.4, 0.6};
  CHECK(seeded(6) == seeded(5));
  options.uniforms.pop_back();
  CHECK_THAT(error_of([&] { generate(*engine, prompt, options); }), Contains("only 7 uniforms"));
}

TEST_CASE("generator: stops at an end token, which it keeps; one in the prompt does not count",
          "[reference][generator]") {
  const auto engine = reference::make_engine(test::tiny_model(), {DType::f32, 1});
  GenerationOptions options;
  options.max_new_tokens = 6;
  const std::vector<TokenId> prompt = some_tokens(5);
  const auto free = generate(*engine, prompt, options);
  CHECK(free.stop == StopReason::max_new_tokens);
  CHECK(free.tokens.size() == 6);
  options.eos_token_ids = {prompt[0], free.tokens[0]};
  const auto stopped = generate(*engine, prompt, options);
  CHECK(stopped.stop == StopReason::eos);
  CHECK(stopped.tokens == std::vector<TokenId>{free.tokens[0]});
  CHECK(stopped.cache_length == 5);
}

TEST_CASE("generator: stops when the context is full, and refuses what cannot begin",
          "[reference][generator]") {
  TemporaryDirectory directory;
  nlohmann::json config = test::small_config();
  config["max_position_embeddings"] = 8;
  test::write_random_checkpoint(directory.path(), config, 2);
  const auto engine = reference::make_engine(directory.path(), {});
  GenerationOptions options;
  options.cache = CacheKind::fixed;
  const auto full = generate(*engine, some_tokens(5, 50), options);
  CHECK(full.stop == StopReason::context_full);
  CHECK(full.tokens.size() == 3);
  CHECK(full.cache_length == 7);
  CHECK_THAT(error_of([&] { generate(*engine, {}, options); }), Contains("the prompt is empty"));
  CHECK_THAT(error_of([&] { generate(*engine, some_tokens(9, 50), options); }),
             Contains("the prompt has 9 tokens"));
  options.max_new_tokens = -1;
  CHECK_THAT(error_of([&] { generate(*engine, some_tokens(2, 50), options); }), Contains("max_new_tokens"));
  options.max_new_tokens = 0;
  CHECK(generate(*engine, some_tokens(2, 50), options).tokens.empty());
}
