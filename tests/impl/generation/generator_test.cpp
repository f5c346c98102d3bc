// The generator over tiny: what is reused, what is processed, where it stops, batches.
#include "impl/generator.h"

#include <algorithm>
#include <atomic>

#include <catch2/catch.hpp>

#include "impl/config.h"
#include "impl/cpu/engine.h"
#include "tests/impl/generation/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

using Tokens = std::vector<TokenId>;

Generator generator(GeneratorSettings settings = {}) {
  return {tiny_engine(), &tiny_tokenizer(), settings};
}

// With nothing cached.
Tokens alone(const GenerationRequest& request, GeneratorSettings settings = {}) {
  return generator(settings).generate(request).tokens;
}

Tokens held(const Generator& generator) {
  return {generator.context().tokens().begin(), generator.context().tokens().end()};
}

}  // namespace

TEST_CASE("generator: text, ids and a chat have one call shape, and say what was processed") {
  Generator tiny = generator();
  const Tokens ids = encode("1 2 3 4 5");
  const GenerationOutput text = tiny.generate(request("1 2 3 4 5"));
  CHECK(text.tokens.size() == 8);
  CHECK(text.stop == StopReason::max_new_tokens);
  CHECK(text.text == tiny_tokenizer().decode(text.tokens, true));
  CHECK(text.prompt_tokens == static_cast<std::int64_t>(ids.size()));
  CHECK(text.reused_tokens == 0);
  CHECK(text.processed_tokens == text.prompt_tokens + 7);
  CHECK(text.cache_length == text.processed_tokens);
  CHECK(text.cache_bytes > 0);
  CHECK(text.peak_memory > text.cache_bytes);
  CHECK(text.timings.total >= text.timings.to_first_token);
  CHECK(text.timings.to_first_token >= text.timings.prefill);
  CHECK(text.timings.prefill > 0);
  CHECK(text.timings.decode > 0);
  CHECK(generator().generate(request(ids)).tokens == text.tokens);
  const std::vector<ChatMessage> chat{{"user", "1 2 3"}};
  const Tokens rendered = encode(tiny_tokenizer().render_chat(chat, true));
  CHECK(generator().generate(request(chat)).tokens == alone(request(rendered)));
}

TEST_CASE("generator: a cached system prompt is read once, and changes no token") {
  Generator tiny = generator();
  const PrefixReport first = tiny.cache_system_prompt("You count.");
  CHECK(first.reused == 0);
  CHECK(first.processed == first.tokens);
  CHECK(tiny.context().pending() == 0);
  const PrefixReport again = tiny.cache_system_prompt("You count.");
  CHECK(again.processed == 0);
  CHECK(again.reused == first.tokens);
  const std::vector<ChatMessage> chat{{"system", "You count."}, {"user", "1 2 3"}};
  const Tokens whole = alone(request(chat));
  const GenerationOutput text = tiny.generate(request("1 2 3"));  // under a system prompt: a user's message
  CHECK(text.tokens == whole);
  CHECK(text.reused_tokens == first.tokens);
  CHECK(text.processed_tokens == text.prompt_tokens - first.tokens + 7);
  // A chat that brings a system text of its own gets no second one.
  CHECK(tiny.generate(request(chat)).tokens == whole);
  // One that brings none gets the cached one, not the format's default.
  CHECK(tiny.generate(request(std::vector<ChatMessage>{{"user", "1 2 3"}})).tokens == whole);
  CHECK(tiny.generate(request(std::vector<ChatMessage>{{"user", "1 2 3"}})).prompt_tokens ==
        static_cast<std::int64_t>(encode(tiny_tokenizer().render_chat(chat, true)).size()));
  tiny.clear();
  CHECK(tiny.context().length() == 0);
  CHECK(tiny.generate(request("1 2 3")).tokens == alone(request("1 2 3")));
}

TEST_CASE("generator: prefixes of several levels, of which the longest common one is reused") {
  Generator tiny = generator();
  const Tokens system{3, 4, 5, 6}, tools{30, 31, 32}, other_tools{30, 41}, question{7, 8};
  const auto join = [](Tokens a, const Tokens& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  };
  CHECK(tiny.cache_prefix(system).processed == 4);
  CHECK(tiny.extend(tools).processed == 3);
  const Tokens prompt = join(join(system, tools), question);
  const GenerationOutput first = tiny.generate(request(prompt));
  CHECK(first.reused_tokens == 7);
  CHECK(first.tokens == alone(request(prompt)));
  const Tokens changed = join(join(system, other_tools), question);
  const GenerationOutput second = tiny.generate(request(changed));
  CHECK(second.reused_tokens == 5);
  CHECK(second.tokens == alone(request(changed)));
  // An answer of before, in the prompt of now, is in the cache but for its last token.
  const GenerationOutput third = tiny.generate(request(join(join(changed, second.tokens), question)));
  CHECK(third.reused_tokens == static_cast<std::int64_t>(changed.size() + second.tokens.size()) - 1);
  CHECK(third.tokens == alone(request(join(join(changed, second.tokens), question))));
}

TEST_CASE("generator: a prompt that is wholly in the cache needs one evaluation, and gives the same") {
  Generator tiny = generator();
  const Tokens prompt{5, 6, 7, 8};
  tiny.cache_prefix(prompt);
  const GenerationOutput output = tiny.generate(request(prompt));
  CHECK(output.reused_tokens == 3);
  CHECK(output.processed_tokens == 1 + 7);
  CHECK(output.tokens == alone(request(prompt)));
}

TEST_CASE("generator: more goes behind what is held, an empty prompt goes on from it") {
  Generator tiny = generator();
  const Tokens prompt{5, 6, 7, 8};
  const Tokens whole = alone(request(prompt, 12));
  const Tokens first = tiny.generate(request(prompt, 5)).tokens;
  const GenerationOutput rest = tiny.generate(request(Prompt(), 7));
  CHECK(first == Tokens(whole.begin(), whole.begin() + 5));
  CHECK(rest.tokens == Tokens(whole.begin() + 5, whole.end()));
  CHECK(rest.processed_tokens == 7);  // the last token of before, and six of its own
  Tokens all = held(tiny);
  const GenerationOutput more = tiny.generate(request(Prompt::more({9, 10}), 3));
  CHECK(more.processed_tokens == 1 + 2 + 2);
  all.insert(all.end(), {9, 10});
  CHECK(more.tokens == alone(request(all, 3)));
}

TEST_CASE(
    "generator: an empty prompt over nothing begins with the model's first token, or says that there is "
    "none") {
  const auto bos = static_cast<TokenId>(*tiny_engine().config().bos_token_id);
  const GenerationOutput output = generator().generate(request(""));
  CHECK(output.prompt_tokens == 1);
  CHECK(output.tokens == alone(request(Tokens{bos})));
  const ScratchDirectory scratch;
  const auto engine = short_model(scratch, 16);
  REQUIRE_FALSE(engine->config().bos_token_id.has_value());
  REQUIRE(engine->config().eos_token_ids.empty());
  Generator without(*engine, nullptr);
  const GenerationOutput nothing = without.generate(request(""));
  CHECK(nothing.stop == StopReason::no_prompt);
  CHECK(nothing.tokens.empty());
  CHECK(without.generate(request(Tokens{3})).tokens.size() == 8);
}

TEST_CASE("generator: chunks of the prefill change no bit of any logits") {
  const Tokens prompt = some_tokens(23, 900, 5);
  std::vector<std::vector<float>> rows;
  for (const std::int64_t chunk : {1, 4, 22, 23, 512}) {
    Generator tiny = generator({.prefill_chunk = chunk});
    GenerationRequest asked = request(prompt, 4);
    std::vector<float> logits;
    asked.hooks.on_token = [&](const TokenEvent& event) {
      logits.insert(logits.end(), event.logits.begin(), event.logits.end());
      return TokenAction{};
    };
    CountingSink count;
    tiny.generate(asked, &count);
    CHECK(count.calls == (23 + chunk - 1) / chunk + 3);
    rows.push_back(logits);
    CHECK(same_bits(rows.front(), rows.back()));
  }
  CHECK_THAT(error_of([] { generator({.prefill_chunk = 0}); }), Catch::Contains("prefill_chunk"));
}

TEST_CASE("generator: stops at each of several end tokens, at strings across tokens, at both limits") {
  const Tokens free_run = generator().generate(request("1 2 3", 20)).tokens;
  GenerationRequest stopping = request("1 2 3", 20);
  for (const std::size_t index : {std::size_t{2}, std::size_t{6}}) {
    stopping.options.eos_token_ids = {-1, free_run[index]};
    const auto first = std::find(free_run.begin(), free_run.end(), free_run[index]) - free_run.begin() + 1;
    const GenerationOutput output = generator().generate(stopping);
    CHECK(output.stop == StopReason::eos);
    CHECK(output.tokens == Tokens(free_run.begin(), free_run.begin() + first));  // it is kept
  }
  // From the middle of one token's text into the next one's.
  const std::string text = tiny_tokenizer().decode(free_run, true);
  const std::string first = tiny_tokenizer().decode(Tokens{free_run[0]}, true);
  GenerationRequest at_string = request("1 2 3", 20);
  at_string.stop_strings = {"never", text.substr(first.size() - 1, 3)};
  std::string streamed;
  at_string.hooks.on_text = [&](std::string_view piece) { streamed += piece; };
  const GenerationOutput output = generator().generate(at_string);
  CHECK(output.stop == StopReason::stop_string);
  CHECK(output.stop_string == at_string.stop_strings[1]);
  CHECK(output.text == text.substr(0, text.find(at_string.stop_strings[1])));
  CHECK(streamed == output.text);
  CHECK(output.tokens.size() < free_run.size());
  GenerationRequest limited = request("1 2 3", 20);
  const auto prompt = static_cast<std::int64_t>(encode("1 2 3").size());
  limited.options.max_length = prompt + 4;
  CHECK(generator().generate(limited).tokens.size() == 20);  // max_new_tokens wins
  limited.options.max_new_tokens.reset();
  const GenerationOutput short_one = generator().generate(limited);
  CHECK(short_one.stop == StopReason::max_length);
  CHECK(short_one.tokens.size() == 4);
  limited.options.max_length = 1;  // the prompt is beyond it already
  CHECK(generator().generate(limited).stop == StopReason::max_length);
  CHECK(generator().generate(request("1 2 3", 0)).tokens.empty());
}

TEST_CASE("generator: stops where the context or a fixed cache is full") {
  const ScratchDirectory scratch;
  const auto engine = short_model(scratch, 8);
  for (const CacheSpec& spec : {CacheSpec{}, CacheSpec{.kind = CacheKind::fixed}}) {
    Generator small(*engine, nullptr, {.cache = spec});
    const GenerationOutput output = small.generate(request(some_tokens(5, 31, 2), 50));
    CHECK(output.stop == StopReason::context_full);
    CHECK(output.tokens.size() == 3);
    CHECK(small.generate(request(Prompt(), 5)).tokens.empty());
    CHECK_THAT(error_of([&] { small.generate(request(some_tokens(9, 31, 2))); }),
               Catch::Contains("9 tokens, the context 8"));
    CHECK(small.context().length() == 8);  // as it was
  }
  Generator fixed(*engine, nullptr, {.cache = {.kind = CacheKind::fixed, .capacity = 5}});
  CHECK(fixed.generate(request(some_tokens(3, 31, 2), 50)).tokens.size() == 3);
}

TEST_CASE("generator: draws follow the seed and the stream, and going on repeats none") {
  GenerationRequest drawn = request("1 2 3", 12);
  drawn.options.sampling.temperature = 2.0;
  const Tokens first = alone(drawn, {.seed = 7});
  CHECK(alone(drawn, {.seed = 7}) == first);
  CHECK(alone(drawn, {.seed = 8}) != first);
  drawn.stream = 1;
  CHECK(alone(drawn, {.seed = 7}) != first);
  drawn.stream = 0;
  Generator tiny = generator({.seed = 7});
  drawn.options.max_new_tokens = 5;
  Tokens parts = tiny.generate(drawn).tokens;
  drawn.prompt = Prompt();
  drawn.options.max_new_tokens = 7;
  const Tokens rest = tiny.generate(drawn).tokens;
  parts.insert(parts.end(), rest.begin(), rest.end());
  CHECK(parts == first);
}

TEST_CASE("generator: each row of a batch is its run alone, whatever the others do") {
  Generator tiny = generator({.seed = 3});
  tiny.cache_system_prompt("You count.");
  std::vector<GenerationRequest> batch;
  for (const char* text : {"1 2 3", "the quick brown", "a", "10 11 12 13 14 15 16 17 18 19"})
    batch.push_back(request(text, 6 + 3 * static_cast<std::int64_t>(batch.size())));
  batch[1].options.sampling.temperature = 1.5;
  batch[1].stream = 5;
  batch[2].options.max_new_tokens = 0;
  batch.push_back(batch[1]);
  batch.back().stream = 6;
  std::vector<std::vector<float>> logits(batch.size());
  for (std::size_t i = 0; i < batch.size(); ++i) {
    batch[i].hooks.on_token = [&logits, i](const TokenEvent& event) {
      logits[i].insert(logits[i].end(), event.logits.begin(), event.logits.end());
      return TokenAction{};
    };
  }
  const Tokens before = held(tiny);
  CountingSink count;
  const auto together = tiny.generate(batch, &count);
  CHECK(held(tiny) == before);
  CHECK(count.steps.front() == 4);  // one of the five wants nothing
  CHECK(count.steps.back() == 1);
  const auto logits_together = std::exchange(logits, std::vector<std::vector<float>>(batch.size()));
  for (std::size_t i = 0; i < batch.size(); ++i) {
    Generator one = tiny.fork();
    const GenerationOutput output = one.generate(batch[i]);
    CHECK(output.tokens == together[i].tokens);
    CHECK(output.text == together[i].text);
    CHECK(output.stop == together[i].stop);
    CHECK(output.processed_tokens == together[i].processed_tokens);
    CHECK(same_bits(logits[i], logits_together[i]));
  }
  CHECK(together[1].tokens != together[4].tokens);
  CHECK(tiny.generate(std::span<const GenerationRequest>()).empty());
}

TEST_CASE("generator: a batch that needs more sequences than there are is refused whole") {
  Generator tiny = generator({.cache = {.max_sequences = 2}});
  const std::vector<GenerationRequest> batch{request("1"), request("2")};
  CHECK_THAT(error_of([&] { tiny.generate(batch); }), Catch::Contains("2 sequences are in use"));
  CHECK(tiny.generate(request("1 2 3")).tokens.size() == 8);
  CHECK(tiny.generate(std::span(batch).first(1)).size() == 1);
}

TEST_CASE("generator: what cannot be understood is refused in one line, and it can be used afterwards") {
  Generator tiny = generator();
  tiny.cache_system_prompt("You count.");
  const Tokens before = held(tiny);
  const auto refusal = [&](GenerationRequest bad) {
    return error_of([&] { tiny.generate(std::move(bad)); });
  };
  CHECK_THAT(refusal(request(Tokens{5, 4096})), Catch::Contains("token 1 is 4096"));
  CHECK_THAT(refusal(request(Tokens{-1})), Catch::Contains("token 0 is -1"));
  CHECK_THAT(refusal(request(Prompt::more({99999}))), Catch::Contains("99999"));
  CHECK_THAT(refusal(request("\xFF")), Catch::Contains("UTF-8"));
  CHECK_THAT(refusal(request("a", -1)), Catch::Contains("max_new_tokens is -1"));
  GenerationRequest bad = request("a");
  bad.options.max_length = -3;
  CHECK_THAT(refusal(bad), Catch::Contains("max_length is -3"));
  bad = request("a");
  bad.stop_strings = {""};
  CHECK_THAT(refusal(bad), Catch::Contains("stop string is empty"));
  bad = request("a");
  bad.options.sampling.top_p = 2;
  CHECK_THAT(refusal(bad), Catch::Contains("top_p"));
  CHECK(held(tiny) == before);
  CHECK(tiny.context().cached() == static_cast<std::int64_t>(before.size()));
  Generator ids(tiny_engine(), nullptr);
  CHECK_THAT(error_of([&] { ids.generate(request("text")); }), Catch::Contains("tokenizer"));
  CHECK_THAT(error_of([&] { ids.cache_system_prompt("x"); }), Catch::Contains("tokenizer"));
  bad = request(Tokens{5});
  bad.stop_strings = {"x"};
  CHECK_THAT(error_of([&] { ids.generate(bad); }), Catch::Contains("stop strings need a tokenizer"));
}

TEST_CASE("generator: an engine that fails leaves whole tokens alone in the cache") {
  for (const std::int64_t call : {0, 1, 2, 4}) {
    Generator tiny = generator({.prefill_chunk = 2});
    tiny.cache_prefix(Tokens{5, 6});
    CountingSink failing;
    failing.fail_at = call;
    const Tokens prompt{5, 6, 7, 8, 9, 10};
    CHECK_THAT(error_of([&] { tiny.generate(request(prompt), &failing); }), Catch::Contains("told to fail"));
    CHECK(tiny.context().cached() >= 2);
    CHECK(tiny.context().pending() <= 1);
    const GenerationOutput after = tiny.generate(request(prompt));
    CHECK(after.tokens == alone(request(prompt)));
  }
}

TEST_CASE("generator: an interrupt ends it between two calls, and it goes on where it was") {
  const Tokens whole = alone(request("1 2 3", 10));
  std::atomic<bool> interrupt = false;
  Generator tiny = generator();
  GenerationRequest asked = request("1 2 3", 10);
  asked.hooks.interrupt = &interrupt;
  asked.hooks.on_token = [&](const TokenEvent& event) {
    interrupt = event.index == 3;
    return TokenAction{};
  };
  const GenerationOutput first = tiny.generate(asked);
  CHECK(first.stop == StopReason::interrupted);
  CHECK(first.tokens.size() == 4);
  interrupt = true;
  asked.prompt = "5 6 7 8";
  CHECK(tiny.generate(asked).tokens.empty());  // nothing was computed, nothing is held of it
  interrupt = false;
  CHECK(tiny.context().pending() == 0);
  const GenerationOutput again = tiny.generate(request("1 2 3", 10));
  CHECK(again.tokens == whole);
}

TEST_CASE("generator: any cache, and any engine's, gives the same tokens") {
  const Tokens expected = alone(request("1 2 3", 12));
  for (const CacheLayout layout :
       {CacheLayout::sequence_heads, CacheLayout::heads_sequence, CacheLayout::sequence_flat}) {
    for (const CacheKind kind : {CacheKind::concat, CacheKind::fixed}) {
      CacheSpec spec{.kind = kind, .max_sequences = 2, .capacity = 0};
      if (kind == CacheKind::fixed) spec.capacity = 64;
      spec.layout = layout;
      Generator tiny = generator({.cache = spec});
      tiny.cache_prefix(encode("1 2"));
      CHECK(tiny.generate(request("1 2 3", 12)).tokens == expected);
    }
  }
}
