// The generator against what transformers generated: greedy past the end tokens, sampled with given uniforms,
// and turns whose past_key_values were carried on.
#include <map>

#include <catch2/catch.hpp>

#include "impl/generation/conversation.h"
#include "tests/impl/generation/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

using Tokens = std::vector<TokenId>;

const nlohmann::json& golden() {
  static const nlohmann::json json = read_json(source_path("fixtures/goldens/tiny/generation.json"));
  return json;
}

Tokens prompt_named(const std::string& name) {
  static const nlohmann::json prompts = read_json(source_path("fixtures/goldens/tiny/prompts.json"));
  for (const auto& each : prompts.at("prompts")) {
    if (each.at("name") == name) return each.at("input_ids").get<Tokens>();
  }
  FAIL("no prompt " << name);
  return {};
}

SamplingParams sampling_of(const nlohmann::json& settings) {
  SamplingParams params;
  params.temperature = settings.at("temperature");
  params.top_k = settings.value("top_k", std::int64_t{0});
  params.top_p = settings.value("top_p", 1.0);
  params.min_p = settings.value("min_p", 0.0);
  params.repetition_penalty = settings.value("repetition_penalty", 1.0);
  return params;
}

}  // namespace

TEST_CASE("goldens: 200 greedy tokens, end tokens or not") {
  // One generator for all: what an earlier prompt left in the cache must not show.
  Generator generator(tiny_engine(), &tiny_tokenizer());
  for (const auto& each : golden().at("greedy")) {
    INFO(each.at("prompt"));
    const auto expected = each.at("new_ids").get<Tokens>();
    CHECK(expected.size() == 200);
    GenerationRequest wanted = request(prompt_named(each.at("prompt")), 200);
    wanted.skip_special_tokens = false;
    const GenerationOutput output = generator.generate(wanted);
    CHECK(output.tokens == expected);
    CHECK(output.text == each.at("new_text").get<std::string>());
    CHECK(output.stop == StopReason::max_new_tokens);
  }
}

TEST_CASE("goldens: sampled with the same uniforms") {
  for (const auto& each : golden().at("sampled")) {
    INFO(each.at("name"));
    const auto expected = each.at("new_ids").get<Tokens>();
    GenerationRequest wanted =
        request(prompt_named(each.at("prompt")), static_cast<std::int64_t>(expected.size()));
    wanted.options.sampling = sampling_of(each.at("settings"));
    wanted.options.uniforms = golden().at("uniforms").get<std::vector<double>>();
    wanted.options.eos_token_ids = golden().at("eos_token_ids").get<std::vector<std::int64_t>>();
    Generator generator(tiny_engine(), nullptr);
    CHECK(generator.generate(wanted).tokens == expected);
  }
}

TEST_CASE("goldens: turns of a conversation read and answer what transformers' do with past_key_values") {
  const nlohmann::json& talk = golden().at("conversation");
  ConversationSettings settings;
  settings.options.max_new_tokens = talk.at("max_new_tokens").get<std::int64_t>();
  settings.options.eos_token_ids = golden().at("eos_token_ids").get<std::vector<std::int64_t>>();
  settings.system = talk.at("system").get<std::string>();
  const Generator base(tiny_engine(), &tiny_tokenizer());
  Conversation conversation(base, settings);
  CHECK(talk.at("turns").size() >= 5);
  for (const auto& turn : talk.at("turns")) {
    INFO(turn.at("user"));
    const auto expected = turn.at("new_ids").get<Tokens>();
    const std::int64_t cached = conversation.context().cached();
    const ConversationOutput output = conversation.say(turn.at("user").get<std::string>());
    CHECK(output.tokens == expected);
    CHECK(output.text == turn.at("new_text").get<std::string>());
    CHECK(stop_reason_name(output.stop) == (turn.at("stop_reason") == "eos" ? "eos" : "max_new_tokens"));
    const auto tokens = conversation.context().tokens();
    const Tokens fed(tokens.begin() + cached, tokens.end() - static_cast<std::ptrdiff_t>(expected.size()));
    CHECK(fed == turn.at("fed_ids").get<Tokens>());
    CHECK(output.cache_length == turn.at("cached").get<std::int64_t>());
  }
}
