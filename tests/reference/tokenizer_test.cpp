#include "reference/tokenizer.h"

#include <catch2/catch.hpp>

#include "tests/reference/fixtures.h"
#include "tests/support/temporary_directory.h"

using namespace plumbline;
using Catch::Contains;
using test::error_of;

namespace {

const Tokenizer& tiny() {
  static const auto tokenizer = reference::load_tokenizer(test::tiny_model());
  return *tokenizer;
}

std::vector<ChatMessage> messages_of(const nlohmann::json& json) {
  std::vector<ChatMessage> messages;
  for (const nlohmann::json& message : json) messages.push_back({message.at("role"), message.at("content")});
  return messages;
}

// tokenizer.json of the tiny model with one thing changed.
template <typename Change>
std::string refusal(Change change) {
  TemporaryDirectory directory;
  nlohmann::json json = test::read_json(test::tiny_model() / "tokenizer.json");
  change(json);
  test::write_text(directory / "tokenizer.json", json.dump());
  const std::string message = error_of([&] { reference::load_tokenizer(directory.path()); });
  CHECK_THAT(message, Contains("tokenizer.json") && !Contains("\n"));
  return message;
}

}  // namespace

TEST_CASE("tokenizer: ids and text of every golden", "[reference][tokenizer]") {
  const nlohmann::json golden = test::read_json(test::fixture("goldens/tiny/tokenization.json"));
  CHECK(tiny().size() == golden.at("vocab_size"));
  for (const nlohmann::json& item : golden.at("cases")) {
    INFO(item.at("note").get<std::string>());
    const auto ids = item.at("ids").get<std::vector<TokenId>>();
    if (!item.at("text").is_null()) CHECK(tiny().encode(item.at("text").get<std::string>()) == ids);
    CHECK(tiny().decode(ids, false) == item.at("decoded"));
    CHECK(tiny().decode(ids, true) == item.at("decoded_skip_special"));
  }
}

TEST_CASE("tokenizer: chats of every golden", "[reference][tokenizer]") {
  const nlohmann::json golden = test::read_json(test::fixture("goldens/tiny/tokenization.json"));
  for (const nlohmann::json& chat : golden.at("chats")) {
    INFO(chat.at("note").get<std::string>());
    const std::string text =
        tiny().render_chat(messages_of(chat.at("messages")), chat.at("add_generation_prompt"));
    CHECK(text == chat.at("text"));
    CHECK(tiny().encode(text) == chat.at("ids").get<std::vector<TokenId>>());
  }
}

TEST_CASE("tokenizer: invalid UTF-8 is refused with its byte offset", "[reference][tokenizer]") {
  using namespace std::string_literals;
  CHECK_THAT(error_of([] { tiny().encode("ab\xff"); }), Contains("invalid UTF-8 at byte offset 2"));
  CHECK_THAT(error_of([] { tiny().encode("\xc3"); }), Contains("at byte offset 0"));
  CHECK_THAT(error_of([] { tiny().encode("a\xed\xa0\x80"); }), Contains("at byte offset 1"));  // a surrogate
  CHECK_THAT(error_of([] { tiny().encode("abc\xc0\xaf"); }), Contains("at byte offset 3"));    // overlong
  CHECK(tiny().decode(tiny().encode("a\0b"s), false) == "a\0b"s);
}

TEST_CASE("tokenizer: a token's bytes may end inside a character", "[reference][tokenizer]") {
  std::string bytes;
  const std::string text = "\xF0\x9F\x99\x82 h\xC3\xA9llo";
  for (const TokenId id : tiny().encode(text)) bytes += tiny().token_bytes(id);
  CHECK(bytes == text);
  CHECK(tiny().token_bytes(220) == " ");
  CHECK_THAT(error_of([] { tiny().token_bytes(1000); }), Contains("token 1000"));
  CHECK_THROWS_AS(tiny().token_bytes(-1), Error);
  CHECK(tiny().is_special(998));
  CHECK_FALSE(tiny().is_special(220));
}

TEST_CASE("tokenizer: U+180E is no white space", "[reference][tokenizer]") {
  // Two spaces are one token, but the second goes with what follows when that is no white space.
  CHECK(tiny().encode("  \u180e") == std::vector<TokenId>{220, 220, 157, 254, 236});  // by tokenizers 0.23.3
  CHECK(tiny().encode("  \n").front() != 220);
}

TEST_CASE("tokenizer: what is not in Qwen2's form is refused by name", "[reference][tokenizer]") {
  CHECK_THAT(refusal([](auto& j) { j["normalizer"]["type"] = "NFKC"; }), Contains("NFKC"));
  CHECK_THAT(refusal([](auto& j) { j["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Removed"; }),
             Contains("Removed"));
  CHECK_THAT(refusal([](auto& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(a"; }),
             Contains("regular expression"));
  CHECK_THAT(refusal([](auto& j) { j["pre_tokenizer"] = nullptr; }), Contains("pre_tokenizer"));
  CHECK_THAT(refusal([](auto& j) { j["model"]["type"] = "WordPiece"; }), Contains("WordPiece"));
  CHECK_THAT(refusal([](auto& j) { j["model"]["byte_fallback"] = true; }), Contains("byte_fallback"));
  CHECK_THAT(refusal([](auto& j) { j["model"]["vocab"].erase("!"); }), Contains("byte 33"));
  CHECK_THAT(refusal([](auto& j) { j["model"]["vocab"]["zz"] = 3; }), Contains("id 3 belongs to two tokens"));
  CHECK_THAT(refusal([](auto& j) { j["model"]["merges"].push_back("! !"); }), Contains("gives no token"));
  CHECK_THAT(refusal([](auto& j) { j["added_tokens"][0]["lstrip"] = true; }), Contains("lstrip"));
  CHECK_THAT(refusal([](auto& j) { j["added_tokens"][0]["id"] = 5; }), Contains("belongs to two tokens"));
  CHECK_THAT(error_of([] { reference::load_tokenizer(test::fixture("configs")); }),
             Contains("no tokenizer.json"));
}

TEST_CASE("tokenizer: chat templates other than ChatML are refused when a chat is rendered",
          "[reference][tokenizer]") {
  const std::vector<ChatMessage> hello{{"user", "Hi"}};
  const auto with_template = [&](const nlohmann::json& value) {
    TemporaryDirectory directory;
    std::filesystem::copy(test::tiny_model() / "tokenizer.json", directory / "tokenizer.json");
    const nlohmann::json config =
        value.is_null() ? nlohmann::json::object() : nlohmann::json{{"chat_template", value}};
    test::write_text(directory / "tokenizer_config.json", config.dump());
    return reference::load_tokenizer(directory.path());
  };
  CHECK_THAT(error_of([&] { with_template(nullptr)->render_chat(hello, false); }),
             Contains("no chat template"));
  CHECK_THAT(error_of([&] { with_template("[INST]{{ x }}")->render_chat(hello, false); }),
             Contains("not ChatML"));
  CHECK(with_template("<|im_start|>{{ role }}")->render_chat(hello, true) ==
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  // Qwen2.5's shape: the first "<|im_start|>system" has code after it, a later one the default text.
  const auto qwen = with_template(
      "{{- '<|im_start|>system\\n' }}{{- x }}{{- '<|im_end|>' }}"
      "{{- '<|im_start|>system\\nYou are kind.<|im_end|>\\n' }}");
  CHECK(qwen->render_chat(hello, false) ==
        "<|im_start|>system\nYou are kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n");
  CHECK_THAT(error_of([&] { qwen->render_chat({}, true); }), Contains("no messages"));
  const std::vector<ChatMessage> tool{{"tool", "42"}};
  CHECK_THAT(error_of([&] { qwen->render_chat(tool, true); }), Contains("role 'tool'"));
}
