#include <cmath>
#include <limits>
#include <stdexcept>

#include <catch2/catch.hpp>

#include "impl/generator.h"
#include "tests/impl/generation/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

using Tokens = std::vector<TokenId>;

GenerationOutput go(GenerationRequest request) {
  Generator tiny(tiny_engine(), &tiny_tokenizer());
  return tiny.generate(std::move(request));
}

// Acts at token `index`, else does nothing.
std::function<TokenAction(const TokenEvent&)> at(std::int64_t index, TokenAction action) {
  return [=](const TokenEvent& event) { return event.index == index ? action : TokenAction{}; };
}

}  // namespace

TEST_CASE("callbacks: see each token with its text, position, logits, probabilities and times") {
  const Tokens prompt = encode("1 2 3");
  GenerationRequest asked = request(prompt, 6);
  asked.options.sampling.temperature = 0.7;  // what it leaves of the logits is not what is shown
  asked.options.sampling.top_k = 2;
  std::vector<TokenId> seen;
  std::string text;
  std::vector<std::vector<float>> logits;
  asked.hooks.on_token = [&](const TokenEvent& event) {
    CHECK(event.row == 0);
    CHECK(event.index == static_cast<std::int64_t>(seen.size()));
    CHECK(event.position == static_cast<std::int64_t>(prompt.size() + seen.size()));
    CHECK(event.forward_seconds > 0);
    CHECK(event.sampling_seconds > 0);
    CHECK(event.seconds >= event.forward_seconds);
    const std::vector<float> probabilities = event.probabilities();
    REQUIRE(probabilities.size() == event.logits.size());
    double sum = 0;
    for (const float each : probabilities) sum += each;
    CHECK(std::abs(sum - 1) < 1e-5);
    const auto token = static_cast<std::size_t>(event.token);
    CHECK(std::abs(probabilities[token] - event.probability_of(event.token)) < 1e-7);
    CHECK_THAT(error_of([&] { (void)event.probability_of(1 << 20); }), Catch::Contains("vocabulary"));
    seen.push_back(event.token);
    text += event.text;
    logits.emplace_back(event.logits.begin(), event.logits.end());
    return TokenAction{};
  };
  const GenerationOutput output = go(asked);
  CHECK(seen == output.tokens);
  CHECK(text == output.text);
  // The engine's own logits: those of the whole text in one call.
  Tokens all = prompt;
  all.insert(all.end(), output.tokens.begin(), output.tokens.end() - 1);
  const auto cache = tiny_engine().make_cache({});
  const std::vector<float> whole = run(tiny_engine(), *cache, all);
  const std::size_t vocab = logits.front().size();
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const std::size_t row = prompt.size() - 1 + i;
    CHECK(same_bits(logits[i], std::span(whole).subspan(row * vocab, vocab)));
  }
}

TEST_CASE("callbacks: one that stops keeps its token") {
  const Tokens whole = go(request("1 2 3", 8)).tokens;
  GenerationRequest asked = request("1 2 3", 8);
  asked.hooks.on_token = at(2, {.stop = true});
  const GenerationOutput output = go(asked);
  CHECK(output.stop == StopReason::callback);
  CHECK(output.tokens == Tokens(whole.begin(), whole.begin() + 3));
}

TEST_CASE("callbacks: a forced token is what generation goes on from") {
  const Tokens prompt = encode("1 2 3");
  const Tokens whole = go(request(prompt, 8)).tokens;
  const TokenId forced = encode("7").at(0);
  REQUIRE(whole[3] != forced);
  GenerationRequest asked = request(prompt, 8);
  asked.hooks.on_token = at(3, {.force = forced});
  const GenerationOutput output = go(asked);
  Tokens expected(whole.begin(), whole.begin() + 3);
  expected.push_back(forced);
  Tokens start = prompt;
  start.insert(start.end(), expected.begin(), expected.end());
  const Tokens rest = go(request(start, 4)).tokens;
  expected.insert(expected.end(), rest.begin(), rest.end());
  CHECK(output.tokens == expected);
  CHECK(output.text == tiny_tokenizer().decode(expected, true));
  // As an end token it ends.
  asked.options.eos_token_ids = {forced};
  CHECK(go(asked).stop == StopReason::eos);
  asked.hooks.on_token = at(3, {.force = TokenId{1 << 20}});
  CHECK_THAT(error_of([&] { go(asked); }), Catch::Contains("not in the vocabulary"));
}

TEST_CASE("callbacks: inserted tokens are read, and the model goes on behind them") {
  const Tokens prompt = encode("1 2 3"), tool = encode(" 20 21 22");
  const Tokens whole = go(request(prompt, 8)).tokens;
  GenerationRequest asked = request(prompt, 8);
  asked.hooks.on_token = at(1, {.insert = tool});
  asked.options.eos_token_ids = {whole[1]};  // an end token with an answer behind it does not end
  CHECK(std::find(whole.begin(), whole.begin() + 1, whole[1]) == whole.begin() + 1);
  CountingSink count;
  Generator tiny(tiny_engine(), &tiny_tokenizer());
  const GenerationOutput output = tiny.generate(asked, &count);
  Tokens start = prompt;
  start.insert(start.end(), whole.begin(), whole.begin() + 2);
  start.insert(start.end(), tool.begin(), tool.end());
  GenerationRequest rest = request(start, 6);
  rest.options.eos_token_ids = asked.options.eos_token_ids;
  Tokens expected(whole.begin(), whole.begin() + 2);
  const Tokens behind = go(rest).tokens;
  expected.insert(expected.end(), behind.begin(), behind.end());
  CHECK(output.tokens == expected);
  CHECK(output.inserted_tokens == static_cast<std::int64_t>(tool.size()));
  // They went through the engine in one call with the token before them.
  CHECK(count.calls == static_cast<std::int64_t>(output.tokens.size()));
  CHECK(output.processed_tokens ==
        static_cast<std::int64_t>(prompt.size() + output.tokens.size() - 1 + tool.size()));
  CHECK(output.text.find(" 20 21 22") != std::string::npos);
}

TEST_CASE("callbacks: inserted tokens that do not fit or do not exist are refused, and the state is usable") {
  const ScratchDirectory scratch;
  const auto engine = short_model(scratch, 12);
  Generator small(*engine, nullptr);
  GenerationRequest asked = request(Tokens{1, 2, 3}, 6);
  asked.hooks.on_token = at(1, {.insert = Tokens(8, 5)});
  CHECK_THAT(error_of([&] { small.generate(asked); }), Catch::Contains("8 tokens to insert do not fit"));
  CHECK(small.context().length() == 4);
  asked.hooks.on_token = at(1, {.insert = Tokens{31}});
  CHECK_THAT(error_of([&] { small.generate(asked); }), Catch::Contains("31 is not in the vocabulary"));
  CHECK(small.generate(request(Tokens{1, 2, 3}, 6)).tokens.size() == 6);
}

TEST_CASE("callbacks: penalties on what was generated begin anew behind an insertion") {
  GenerationRequest asked = request("1 2 3", 3);
  const TokenId first = go(asked).tokens.at(0);
  // The penalised token is forced again and again: without an insertion it is penalised at the third draw.
  std::vector<float> seen;
  asked.options.sampling.presence_penalty = 1e6;
  asked.hooks.on_token = [&](const TokenEvent& event) {
    TokenAction action{.force = first};
    if (event.index == 1) action.insert = {first};
    return action;
  };
  asked.hooks.on_logits = [&](LogitsEvent& event) {
    if (event.index == 2) std::fill(event.logits.begin(), event.logits.end(), -1.0f);
    if (event.index == 2) event.logits[static_cast<std::size_t>(first)] = 1.0f;
  };
  TokenId third = -1;
  const auto force = asked.hooks.on_token;
  asked.hooks.on_token = [&](const TokenEvent& event) {
    if (event.index == 2) third = event.token;
    return force(event);
  };
  go(asked);
  CHECK(third == first);
}

TEST_CASE("callbacks: edited logits decide the draw, and the event still shows the engine's") {
  GenerationRequest asked = request("1 2 3", 4);
  const Tokens whole = go(asked).tokens;
  const TokenId wanted = encode("9").at(0);
  asked.hooks.on_logits = [&](LogitsEvent& event) {
    CHECK(event.row == 0);
    CHECK(event.position >= 5);
    if (event.index == 2) event.logits[static_cast<std::size_t>(wanted)] = 1e9f;
  };
  float shown = 0;
  asked.hooks.on_token = [&](const TokenEvent& event) {
    if (event.index == 2) shown = event.logits[static_cast<std::size_t>(wanted)];
    return TokenAction{};
  };
  const GenerationOutput output = go(asked);
  CHECK(Tokens(output.tokens.begin(), output.tokens.begin() + 2) == Tokens(whole.begin(), whole.begin() + 2));
  CHECK(output.tokens[2] == wanted);
  CHECK(shown < 1e6f);
  // Banning everything but one by -inf.
  asked.hooks.on_logits = [&](LogitsEvent& event) {
    for (float& each : event.logits) each = -std::numeric_limits<float>::infinity();
    event.logits[3] = 0;
  };
  CHECK(go(asked).tokens == Tokens(4, 3));
}

TEST_CASE("callbacks: one that throws leaves whole tokens in the cache, and the generator usable") {
  const Tokens whole = go(request("1 2 3", 8)).tokens;
  Generator tiny(tiny_engine(), &tiny_tokenizer());
  for (const std::int64_t index : {0, 3}) {
    GenerationRequest asked = request("1 2 3", 8);
    asked.hooks.on_token = [&](const TokenEvent& event) -> TokenAction {
      if (event.index == index) throw std::runtime_error("mine");
      return {};
    };
    CHECK_THROWS_AS(tiny.generate(asked), std::runtime_error);
    CHECK(tiny.context().pending() == 0);
    CHECK(tiny.context().length() == static_cast<std::int64_t>(encode("1 2 3").size()) + index);
    CHECK(tiny.generate(request("1 2 3", 8)).tokens == whole);
  }
  GenerationRequest asked = request("1 2 3", 8);
  asked.hooks.on_text = [](std::string_view) { throw std::runtime_error("mine"); };
  CHECK_THROWS_AS(tiny.generate(asked), std::runtime_error);
  CHECK(tiny.generate(request("1 2 3", 8)).tokens == whole);
  asked = request("1 2 3", 8);
  asked.hooks.on_logits = [](LogitsEvent&) { throw std::runtime_error("mine"); };
  CHECK_THROWS_AS(tiny.generate(asked), std::runtime_error);
  CHECK(tiny.generate(request("1 2 3", 8)).tokens == whole);
}

TEST_CASE("callbacks: one row's failure leaves the generator of a batch usable") {
  Generator tiny(tiny_engine(), &tiny_tokenizer());
  tiny.cache_system_prompt("You count.");
  std::vector<GenerationRequest> batch{request("1 2 3"), request("a b")};
  batch[1].hooks.on_token = [](const TokenEvent&) -> TokenAction { throw std::runtime_error("mine"); };
  CHECK_THROWS_AS(tiny.generate(batch), std::runtime_error);
  batch[1].hooks = {};
  CHECK(tiny.generate(batch)[0].tokens == tiny.fork().generate(batch[0]).tokens);
}

TEST_CASE("callbacks: streamed text is the text, in whole characters, without special tokens unless asked") {
  for (const bool skip : {true, false}) {
    // A text that ends in the midst of a character, by force.
    const Tokens emoji = encode("🎉");
    REQUIRE(emoji.size() > 1);
    GenerationRequest asked = request("1 2", static_cast<std::int64_t>(emoji.size()) + 2);
    asked.skip_special_tokens = skip;
    const TokenId special = encode("<|im_end|>").at(0);
    asked.hooks.on_token = [&](const TokenEvent& event) {
      const auto i = static_cast<std::size_t>(event.index);
      return TokenAction{.force = i < emoji.size() ? emoji[i] : i == emoji.size() ? special : emoji[0]};
    };
    std::vector<std::string> pieces;
    asked.hooks.on_text = [&](std::string_view piece) { pieces.emplace_back(piece); };
    const GenerationOutput output = go(asked);
    std::string joined;
    for (const std::string& each : pieces) joined += each;
    CHECK(joined == output.text);
    CHECK(output.text == std::string("🎉") + (skip ? "" : "<|im_end|>") + "\xEF\xBF\xBD");
  }
}
