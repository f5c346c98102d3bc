// Phase 2: do both tokenizers give Hugging Face's ids, and its text back? The strings are the goldens' own; a
// checkpoint without goldens is held to agreement between the two sides on the same strings.
#include <fmt/format.h>
#include <catch2/catch.hpp>

#include "phases/support/sides.h"
#include "phases/support/suite.h"

namespace plumbline::phases {

void prepare() {
  load_sides();
}

namespace {

constexpr const char* kNoTokenizer = "the checkpoint has no tokenizer.json";

std::string text_of(const std::vector<TokenId>& ids) {
  return fmt::format("{}", fmt::join(ids, " "));
}

// The strings to try: with golden ids where the checkpoint has goldens, else tiny's strings without.
struct Strings {
  nlohmann::json file;
  bool golden = false;
};
Strings strings() {
  if (goldens() && !goldens()->tokenization.is_null()) return {goldens()->tokenization, true};
  return {read_json(options().fixtures / "goldens" / "tiny" / "tokenization.json"), false};
}

template <typename Body>
void for_each_string(const std::string& case_id, const Body& body) {
  if (native_tokenizer() == nullptr) return record_skip("tokenizer", kNoTokenizer);
  const Strings list = strings();
  for (const nlohmann::json& entry : list.file.at("cases")) {
    if (entry.at("case") == case_id) body(entry, list.golden);
  }
}

void record_encoding(const nlohmann::json& entry, bool golden) {
  if (entry.at("text").is_null()) return;  // ids given by hand: decoding alone
  const std::string text = entry.at("text"), note = entry.at("note");
  const std::string native = text_of(native_tokenizer()->encode(text));
  const std::string reference = text_of(reference_tokenizer()->encode(text));
  record_equal("ids, native and reference", note, reference, native);
  if (!golden) return;
  const std::string expected = text_of(entry.at("ids").get<std::vector<TokenId>>());
  record_equal("ids, native and golden", note, expected, native);
  record_equal("ids, reference and golden", note, expected, reference);
}

void record_decoding(const nlohmann::json& entry, bool golden) {
  const std::string note = entry.at("note");
  if (!golden && entry.at("text").is_null()) return;  // hand-written ids belong to tiny's vocabulary
  const std::vector<TokenId> ids = golden
                                       ? entry.at("ids").get<std::vector<TokenId>>()
                                       : reference_tokenizer()->encode(entry.at("text").get<std::string>());
  for (const bool skip : {false, true}) {
    const std::string which = skip ? "text without special tokens" : "text";
    const std::string native = native_tokenizer()->decode(ids, skip);
    const std::string reference = reference_tokenizer()->decode(ids, skip);
    record_equal(which + ", native and reference", note, reference, native);
    if (!golden) continue;
    const std::string expected = entry.at(skip ? "decoded_skip_special" : "decoded");
    record_equal(which + ", native and golden", note, expected, native);
    record_equal(which + ", reference and golden", note, expected, reference);
  }
}

std::vector<ChatMessage> messages_of(const nlohmann::json& chat) {
  std::vector<ChatMessage> messages;
  for (const nlohmann::json& message : chat.at("messages")) {
    messages.push_back({message.at("role"), message.at("content")});
  }
  return messages;
}

}  // namespace

TEST_CASE("2.1 encode: words, code, numbers, white space", "[2.1]") {
  for_each_string("2.1", record_encoding);
}

TEST_CASE("2.2 decode: ids back to text", "[2.2]") {
  for (const char* case_id : {"2.1", "2.2", "2.3", "2.4"}) for_each_string(case_id, record_decoding);
}

TEST_CASE("2.2 decode: the strings of this case encode too", "[2.2]") {
  for_each_string("2.2", record_encoding);
}

TEST_CASE("2.2 decode: every token's bytes are the same on both sides", "[2.2]") {
  if (native_tokenizer() == nullptr) return record_skip("tokenizer", kNoTokenizer);
  record_equal("tokens", "vocabulary", std::to_string(reference_tokenizer()->size()),
               std::to_string(native_tokenizer()->size()));
  std::string native, reference;
  for (TokenId id = 0; id < static_cast<TokenId>(reference_tokenizer()->size()); ++id) {
    reference += reference_tokenizer()->token_bytes(id) + '\n';
    native += native_tokenizer()->token_bytes(id) + '\n';
  }
  record_equal("bytes of every token", "vocabulary", reference, native);
}

TEST_CASE("2.3 special tokens and chat format: special tokens inside text", "[2.3]") {
  for_each_string("2.3", record_encoding);
}

TEST_CASE("2.3 special tokens and chat format: ChatML transcripts", "[2.3]") {
  if (native_tokenizer() == nullptr) return record_skip("chat format", kNoTokenizer);
  const Strings list = strings();
  for (const nlohmann::json& chat : list.file.at("chats")) {
    const std::string note = chat.at("note");
    const bool prompt = chat.at("add_generation_prompt");
    const std::string native = native_tokenizer()->render_chat(messages_of(chat), prompt);
    const std::string reference = reference_tokenizer()->render_chat(messages_of(chat), prompt);
    record_equal("transcript, native and reference", note, reference, native);
    if (!list.golden) continue;
    const std::string expected = chat.at("text");
    record_equal("transcript, native and golden", note, expected, native);
    record_equal("transcript, reference and golden", note, expected, reference);
    record_equal("transcript's ids, native and golden", note,
                 text_of(chat.at("ids").get<std::vector<TokenId>>()),
                 text_of(native_tokenizer()->encode(native)));
  }
  record_skip("tools in the chat format", "tool calls and tool results are not rendered yet");
}

TEST_CASE("2.4 hard Unicode: normal forms, joiners, controls, other scripts", "[2.4]") {
  for_each_string("2.4", record_encoding);
}

TEST_CASE("2.4 hard Unicode: bytes that are no UTF-8 are refused at their offset", "[2.4]") {
  if (native_tokenizer() == nullptr) return record_skip("tokenizer", kNoTokenizer);
  const auto outcome = [](const Tokenizer& tokenizer, const std::string& text) -> std::string {
    try {
      return "ids " + text_of(tokenizer.encode(text));
    } catch (const Error& error) {
      const std::string message = error.what();
      return message.find("byte offset 2") != std::string::npos ? "refused at byte offset 2" : message;
    }
  };
  for (const char* bytes : {"ab\xff", "ab\xc3", "ab\xed\xa0\x80", "ab\xc0\x80", "ab\xf5\x80\x80\x80"}) {
    record_equal("native", "invalid byte at offset 2", "refused at byte offset 2",
                 outcome(*native_tokenizer(), bytes));
    record_equal("reference", "invalid byte at offset 2", "refused at byte offset 2",
                 outcome(*reference_tokenizer(), bytes));
  }
}

}  // namespace plumbline::phases
