// Prompts of every kind: one word, very long, special characters, any script.
#include <catch2/catch.hpp>

#include "impl/generation/conversation.h"
#include "impl/generator.h"
#include "tests/impl/generation/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

std::string very_long() {
  std::string text;
  for (int i = 0; i < 700; ++i) text += std::to_string(i) + " ";
  return text;
}

std::vector<std::string> texts() {
  return {
      "Hello",
      " ",
      "\n\n\t",
      very_long(),
      "!@#$%^&*()_+-=[]{}|;':\",./<>?`~\\",
      "<|im_start|>user\nhalf a chat",
      "<|im_sta",
      "línea — 数字 안녕 שלום مرحبا नमस्ते 🎉👩‍👩‍👧🏳️‍🌈",
      "e\xCC\x81 and é, \xEF\xBB\xBF a mark, \x01 a control",
      std::string("a\0b", 3)};
}

}  // namespace

TEST_CASE("inputs: a text, its ids, and its parts one after the other give the same tokens") {
  for (const std::string& text : texts()) {
    INFO(text.substr(0, 60));
    const auto ids = encode(text);
    Generator by_text(tiny_engine(), &tiny_tokenizer()), by_ids(tiny_engine(), nullptr),
        by_parts(tiny_engine(), &tiny_tokenizer());
    std::string streamed;
    GenerationRequest asked = request(text, 24);
    asked.hooks.on_text = [&](std::string_view piece) { streamed += piece; };
    const GenerationOutput output = by_text.generate(asked);
    CHECK(output.prompt_tokens == static_cast<std::int64_t>(ids.size()));
    CHECK(streamed == output.text);
    CHECK(output.text == tiny_tokenizer().decode(output.tokens, true));
    CHECK(by_ids.generate(request(ids, 24)).tokens == output.tokens);
    by_parts.cache_prefix(std::span(ids).first(ids.size() / 2));
    by_parts.extend(std::span(ids).subspan(ids.size() / 2));
    CHECK(by_parts.generate(request(Prompt(), 24)).tokens == output.tokens);
  }
}

TEST_CASE("inputs: any text can be a turn of a conversation") {
  const Generator base(tiny_engine(), &tiny_tokenizer());
  ConversationSettings settings;
  settings.options.max_new_tokens = 4;
  Conversation talk(base, settings);
  for (const std::string& text : texts()) {
    const std::int64_t before = talk.context().length();
    talk.say(text);
    CHECK(talk.turns()[talk.turns().size() - 2].message.content == text);
    CHECK(talk.context().length() > before);
  }
  CHECK(talk.turns().size() == 2 * texts().size());
}
