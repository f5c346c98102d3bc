#include "impl/generation/conversation.h"

#include <atomic>
#include <stdexcept>

#include <catch2/catch.hpp>

#include "tests/impl/generation/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

using Tokens = std::vector<TokenId>;

Generator generator(GeneratorSettings settings = {}) {
  return {tiny_engine(), &tiny_tokenizer(), settings};
}

ConversationSettings settings(std::int64_t max_new_tokens = 6, std::int64_t limit = 0) {
  ConversationSettings settings;
  settings.options.max_new_tokens = max_new_tokens;
  settings.options.eos_token_ids = {999, 997};
  settings.limit = limit;
  settings.system = "You count.";
  return settings;
}

Tokens held(const Conversation& conversation) {
  return {conversation.context().tokens().begin(), conversation.context().tokens().end()};
}

// What the next answer would be from exactly these tokens, with nothing cached.
Tokens answer_to(const Tokens& tokens, const ConversationSettings& settings) {
  GenerationRequest request;
  request.prompt = tokens;
  request.options = settings.options;
  return generator().generate(request).tokens;
}

Tokens rendered(const std::vector<ChatMessage>& messages) {
  return encode(tiny_tokenizer().render_chat(messages, true));
}

std::string ids(const Tokens& tokens) {
  std::string text;
  for (const TokenId each : tokens) text += std::to_string(each) + " ";
  return text;
}

}  // namespace

TEST_CASE("conversation: each turn reads what is new, and answers as the whole rendered chat would be") {
  const Generator base = generator();
  Conversation talk(base, settings());
  std::vector<ChatMessage> messages{{"system", "You count."}};
  for (const std::string text : {"1 2 3", "5 6 7", "the quick brown", "10 11"}) {
    const Tokens before = held(talk);
    const std::int64_t cached = talk.context().cached();
    messages.push_back({"user", text});
    const ConversationOutput output = talk.say(text);
    messages.push_back({"assistant", output.text});
    CHECK(output.reused_tokens == cached);
    CHECK(output.evicted_turns == 0);
    CHECK(output.exact);
    // The last answer's last token, what ends it, the message, what begins the answer, and all of the answer
    // but its last.
    CHECK(output.processed_tokens == talk.context().length() - 1 - cached);
    const Tokens now = held(talk);
    CHECK(Tokens(now.begin(), now.begin() + static_cast<std::ptrdiff_t>(before.size())) == before);
    const Tokens prompt(now.begin(), now.end() - static_cast<std::ptrdiff_t>(output.tokens.size()));
    CHECK(ids(answer_to(prompt, settings())) == ids(output.tokens));
    // Decoded, the tokens held are the rendered chat.
    Tokens open = now;
    if (open.back() == 999 || open.back() == 997) open.pop_back();
    const Tokens chat = rendered({messages.begin(), messages.end() - 1});
    CHECK(tiny_tokenizer().decode(open, false) == tiny_tokenizer().decode(chat, false) + output.text);
  }
  CHECK(talk.turns().size() == 8);
  CHECK(talk.turns()[2].message.content == "5 6 7");
  CHECK(base.context().length() == 0);
}

TEST_CASE("conversation: a default system text is added where there is none, and once") {
  const Generator base = generator();
  ConversationSettings plain = settings();
  plain.system.reset();
  Conversation talk(base, plain);
  talk.say("1 2");
  talk.say("3 4");
  const std::string text = tiny_tokenizer().decode(held(talk), false);
  const std::string system = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n";
  CHECK(text.starts_with(system + "<|im_start|>user\n1 2<|im_end|>\n"));
  CHECK(text.find("<|im_start|>system", 1) == std::string::npos);
  // The generator's own prompt, where the settings say nothing.
  Generator with_system = generator();
  with_system.cache_system_prompt("Be brief.");
  Conversation brief(with_system, plain);
  const ConversationOutput output = brief.say("1 2");
  CHECK(output.reused_tokens == with_system.context().length());
  CHECK(tiny_tokenizer()
            .decode(held(brief), false)
            .starts_with("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user"));
}

TEST_CASE("conversation: forks share what was said, and nothing after") {
  const Generator base = generator();
  Conversation talk(base, settings());
  talk.say("1 2 3");
  Conversation other = talk.fork();
  const ConversationOutput a = talk.say("5 6 7"), b = other.say("5 6 7");
  CHECK(a.tokens == b.tokens);
  CHECK(a.processed_tokens == b.processed_tokens);
  other.say("x");
  CHECK(talk.turns().size() == 4);
  CHECK(other.turns().size() == 6);
}

TEST_CASE("conversation: an answer cut short goes on, one that was not wanted is taken back") {
  const Generator base = generator();
  Conversation talk(base, settings(3)), whole(base, settings(9));
  const std::string first = talk.say("the quick brown").text;
  const Tokens after_first = held(talk);
  talk.go_on();
  talk.go_on();
  whole.say("the quick brown");
  CHECK(ids(held(talk)) == ids(held(whole)));
  CHECK(talk.turns().back().message.content == whole.turns().back().message.content);
  talk.take_back();
  CHECK(talk.turns().empty());
  CHECK(talk.context().length() == talk.opening_tokens());
  CHECK(talk.say("the quick brown").text == first);
  CHECK(held(talk) == after_first);
  Conversation empty(base, settings());
  CHECK_THAT(error_of([&] { empty.go_on(); }), Catch::Contains("no answer"));
  CHECK_THAT(error_of([&] { empty.take_back(); }), Catch::Contains("no turn"));
}

TEST_CASE("conversation: a tool's result is a turn of another role") {
  const Generator base = generator();
  Conversation talk(base, settings());
  talk.say("1 2 3");
  talk.say(ChatMessage{"tool", "42"});
  CHECK(tiny_tokenizer()
            .decode(held(talk), false)
            .find("<|im_start|>tool\n42<|im_end|>\n<|im_start|>assistant\n") != std::string::npos);
}

TEST_CASE(
    "conversation: the oldest exchanges go when it gets long, and the rest is as if they had never been") {
  const Generator base = generator();
  const std::int64_t limit = 110;
  Conversation talk(base, settings(6, limit));
  std::int64_t evicted = 0;
  for (int turn = 0; turn < 12; ++turn) {
    const ConversationOutput output = talk.say("1 2 3 4 5 6");
    evicted += output.evicted_turns;
    CHECK(output.exact);
    CHECK(talk.context().length() <= limit);
    CHECK(output.evicted_turns % 2 == 0);
    if (output.evicted_turns > 0) CHECK(output.reused_tokens <= talk.opening_tokens());
    const Tokens now = held(talk);
    const Tokens prompt(now.begin(), now.end() - static_cast<std::ptrdiff_t>(output.tokens.size()));
    CHECK(answer_to(prompt, settings()) == output.tokens);
    const std::string text = tiny_tokenizer().decode(now, false);
    CHECK(text.starts_with("<|im_start|>system\nYou count.<|im_end|>\n<|im_start|>user\n"));
    for (const Turn& each : talk.turns()) {
      CHECK(text.find(each.message.content) != std::string::npos);
      const Tokens from(now.begin() + each.begin, now.end());
      CHECK(tiny_tokenizer().decode(from, false).starts_with("<|im_start|>" + each.message.role));
    }
  }
  CHECK(evicted > 0);
  CHECK(static_cast<std::int64_t>(talk.turns().size()) == 24 - evicted);
}

TEST_CASE(
    "conversation: kept keys cost nothing and are said not to be exact; out of positions, they are "
    "recomputed") {
  const Generator base = generator();
  ConversationSettings keep = settings(6, 110);
  keep.when_long = WhenLong::keep;
  Conversation talk(base, keep);
  bool evicted = false;
  for (int turn = 0; turn < 12; ++turn) {
    const std::int64_t cached = talk.context().cached();
    const ConversationOutput output = talk.say("1 2 3 4 5 6");
    evicted |= output.evicted_turns > 0;
    CHECK(output.exact == !evicted);
    CHECK(talk.context().length() <= 110);
    CHECK(output.processed_tokens < 40);  // never the rest anew
    if (output.evicted_turns > 0) CHECK(output.reused_tokens == cached - output.evicted_tokens);
  }
  CHECK(evicted);
  CHECK(talk.context().next_position() > 110);

  Generator fixed = generator({.cache = {.kind = CacheKind::fixed, .max_sequences = 3, .capacity = 120}});
  Conversation bounded(fixed, keep);
  bool recomputed = false;
  for (int turn = 0; turn < 12; ++turn) {
    const ConversationOutput output = bounded.say("1 2 3 4 5 6");
    recomputed |= output.evicted_turns > 0 && output.exact;
    CHECK(bounded.context().next_position() <= 121);
  }
  CHECK(recomputed);
}

TEST_CASE(
    "conversation: one that may not forget refuses the turn, and one too long for any room is refused") {
  const Generator base = generator();
  ConversationSettings refuse = settings(6, 60);
  refuse.when_long = WhenLong::refuse;
  Conversation talk(base, refuse);
  std::string problem;
  for (int turn = 0; turn < 10 && problem.empty(); ++turn) {
    const Tokens before = held(talk);
    problem = error_of([&] { talk.say("1 2 3 4 5 6"); });
    if (!problem.empty()) CHECK(held(talk) == before);
    CHECK(talk.context().length() <= 60);
  }
  CHECK_THAT(problem, Catch::Contains("no room"));
  Conversation small(base, settings(6, 40));
  std::string long_text;
  for (int i = 0; i < 100; ++i) long_text += "7 ";
  CHECK_THAT(error_of([&] { small.say(long_text); }), Catch::Contains("shorten it"));
  CHECK(small.say("1").tokens.size() > 0);
  ConversationSettings narrow = settings(6, 5);
  CHECK_THAT(error_of([&] { Conversation(base, narrow); }), Catch::Contains("system prompt has"));
}

TEST_CASE("conversation: a turn that fails leaves it as it was") {
  const Generator base = generator();
  Conversation talk(base, settings()), twin(base, settings());
  talk.say("1 2 3");
  twin.say("1 2 3");
  const Tokens before = held(talk);
  GenerationHooks hooks;
  hooks.on_token = [](const TokenEvent& event) -> TokenAction {
    if (event.index == 2) throw std::runtime_error("mine");
    return {};
  };
  CHECK_THROWS_AS(talk.say("5 6 7", hooks), std::runtime_error);
  CHECK(held(talk) == before);
  CHECK(talk.turns().size() == 2);
  CHECK_THROWS_AS(talk.go_on(hooks), std::runtime_error);
  CHECK(held(talk) == before);
  CHECK_THAT(error_of([&] { talk.say("\xFF"); }), Catch::Contains("UTF-8"));
  CHECK(talk.say("5 6 7").tokens == twin.say("5 6 7").tokens);
  CHECK(held(talk) == held(twin));
}

TEST_CASE("conversation: ends at the nearest of its limits, and says which it was") {
  const Generator base = generator();
  const auto stop_of = [&](std::optional<std::int64_t> new_tokens, std::optional<std::int64_t> length,
                           std::int64_t limit) {
    ConversationSettings bounded = settings(6, limit);
    bounded.options.eos_token_ids = {};
    bounded.options.max_new_tokens = new_tokens;
    bounded.options.max_length = length;
    Conversation talk(base, bounded);
    const ConversationOutput output = talk.say("1 2 3");
    CHECK((limit == 0 || talk.context().length() <= limit));
    return std::pair(output.stop, talk.context().length());
  };
  CHECK(stop_of(6, {}, 0).first == StopReason::max_new_tokens);
  CHECK(stop_of(6, 20, 200).first == StopReason::max_new_tokens);
  CHECK(stop_of(500, {}, 60) == std::pair(StopReason::context_full, std::int64_t{60}));
  CHECK(stop_of({}, {}, 60) == std::pair(StopReason::context_full, std::int64_t{60}));
  CHECK(stop_of({}, 50, 60) == std::pair(StopReason::max_length, std::int64_t{50}));
  CHECK(stop_of({}, 70, 60) == std::pair(StopReason::context_full, std::int64_t{60}));
}

TEST_CASE("conversation: a turn interrupted before its answer began was not said") {
  const Generator base = generator({.prefill_chunk = 4});
  Conversation talk(base, settings());
  talk.say("1 2 3");
  const Tokens before = held(talk);
  std::atomic<bool> interrupt = false;
  GenerationHooks hooks;
  hooks.interrupt = &interrupt;
  struct Interrupter final : StepSink {
    explicit Interrupter(std::atomic<bool>& flag) : flag_(flag) {}
    void begin(std::span<const SequenceStep>) override { flag_ = true; }
    Access access(const ProbeId&) const override { return Access::none; }
    void receive(const ProbeId&, const TensorView&) override {}
    std::atomic<bool>& flag_;
  } interrupter(interrupt);
  const ConversationOutput output = talk.say("the quick brown fox jumps", hooks, &interrupter);
  CHECK(output.stop == StopReason::interrupted);
  CHECK(output.processed_tokens == 4);
  CHECK(output.tokens.empty());
  CHECK(held(talk) == before);
  CHECK(talk.turns().size() == 2);
}

TEST_CASE("conversation: an answer that ended otherwise is closed as the format does") {
  const Generator base = generator();
  for (const TokenId end : {999, 997}) {  // <|im_end|>, and the end-of-text token
    Conversation talk(base, settings());
    GenerationHooks hooks;
    hooks.on_token = [&](const TokenEvent& event) {
      TokenAction action;
      if (event.index == 1) action.force = end;
      return action;
    };
    const ConversationOutput output = talk.say("1 2 3", hooks);
    CHECK(output.stop == StopReason::eos);
    talk.say("5 6");
    const std::string text = tiny_tokenizer().decode(held(talk), false);
    CHECK(text.find("assistant\n" + output.text + "<|im_end|>\n<|im_start|>user\n5 6") != std::string::npos);
  }
}

TEST_CASE("conversation: needs a tokenizer") {
  const Generator ids(tiny_engine(), nullptr);
  CHECK_THAT(error_of([&] { Conversation talk(ids); }), Catch::Contains("tokenizer"));
}
