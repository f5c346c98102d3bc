// Phase 2: do both tokenizers give Hugging Face's ids, and its text back? Texts by category, and sets of all
// characters, pairs and tokens, are held against goldens; a checkpoint without goldens is held to agreement
// between the two sides on the same texts.
#include <algorithm>
#include <cctype>
#include <limits>

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include "harness/error.h"
#include "phases/support/chat_checks.h"
#include "phases/support/sides.h"
#include "phases/support/suite.h"
#include "phases/support/token_mix.h"
#include "phases/support/token_native.h"
#include "phases/support/token_recorded.h"
#include "phases/support/token_report.h"
#include "phases/support/token_sets.h"

namespace plumbline::phases {

void prepare() {
  load_sides();
  if (native_tokenizer() == nullptr) return;
  if (const std::string remark = remark_on_token_goldens(); !remark.empty()) add_assumption(remark);
}

namespace {

// Where there is no tokenizer, the case is skipped.
bool nothing_to_judge() {
  if (native_tokenizer() != nullptr) return false;
  record_skip("tokenizer", "the checkpoint has no tokenizer.json");
  return true;
}

std::vector<CategoryResult> compare_texts(const std::string& case_id) {
  std::vector<CategoryResult> results;
  for (const TextCategory& category : text_categories(case_id)) results.push_back(compare_category(category));
  return results;
}

std::string text_of(const std::vector<TokenId>& ids) {
  return fmt::format("{}", fmt::join(ids, " "));
}

// The golden ids of a category, or where there are none the reference's.
std::vector<std::vector<TokenId>> ids_of(const TextCategory& category) {
  if (!category.ids.empty()) return category.ids;
  std::vector<std::vector<TokenId>> lists;
  for (const std::string& text : category.texts) {
    lists.push_back(reference_tokenizer()->encode(text, category.options));
  }
  return lists;
}

// Ids that no text gives, with golden texts: they belong to one vocabulary.
std::vector<CategoryResult> compare_given_ids() {
  std::vector<CategoryResult> results;
  if (!goldens() || goldens()->tokenization.is_null()) return results;
  for (const bool skip : {false, true}) {
    CategoryResult result{
        skip ? "ids picked by hand, without special tokens" : "ids picked by hand", 0, {}, {}};
    for (const nlohmann::json& entry : goldens()->tokenization.at("cases")) {
      const Answer golden{{}, entry.at(skip ? "decoded_skip_special" : "decoded")};
      compare(
          result,
          {.decoding = true, .ids = entry.at("ids").get<std::vector<TokenId>>(), .skip_special_tokens = skip},
          &golden);
    }
    results.push_back(std::move(result));
  }
  return results;
}

std::vector<ChatMessage> messages_of(const nlohmann::json& chat) {
  std::vector<ChatMessage> messages;
  for (const nlohmann::json& message : chat.at("messages")) {
    messages.push_back({message.at("role"), message.at("content")});
  }
  return messages;
}

// Why the native side renders no chats: a template that is absent, or not known. Empty where it does.
std::string no_chats() {
  const std::vector<ChatMessage> hello{{"user", "Hello"}};
  try {
    native_tokenizer()->render_chat(hello, false);
  } catch (const Error& refusal) {
    return refusal.what();
  }
  return {};
}

// "refused at byte offset 2"; what else came of it, where it was not refused so.
std::string refusal_of(const Tokenizer& tokenizer, const BrokenText& text) {
  const Answer answer = encode_with(tokenizer, text.bytes);
  const std::string expected = fmt::format("byte offset {}", text.offset);
  if (!answer.refused) return "ids " + text_of(answer.ids);
  const std::size_t at = answer.text.find(expected);
  const bool whole = at != std::string::npos &&
                     (at + expected.size() == answer.text.size() ||
                      !std::isdigit(static_cast<unsigned char>(answer.text[at + expected.size()])));
  return whole ? "refused at " + expected : answer.text;
}

constexpr std::size_t kSampleOfLongText = 16'384;  // bytes that the reference is asked for

}  // namespace

TEST_CASE("2.1 encode: words, code, numbers, white space", "[2.1]") {
  if (nothing_to_judge()) return;
  record_categories("Texts by category", compare_texts("2.1"));
}

TEST_CASE("2.1 encode: all pairs of ASCII characters, every token's text", "[2.1]") {
  if (nothing_to_judge()) return;
  record_categories(
      "Sets", {compare_set(ascii_pairs(), options().quick), compare_set(token_text_set(), options().quick)});
}

TEST_CASE("2.1 encode: long texts", "[2.1]") {
  if (nothing_to_judge()) return;
  record_categories("Words of 1 MB", compare_long_words(kSampleOfLongText));
  record_categories("Mixed text", compare_mixed_text(options().quick ? 2 : 100, kSampleOfLongText));
  show_recorded_differential();
}

TEST_CASE("2.2 decode: ids back to text", "[2.2]") {
  if (nothing_to_judge()) return;
  std::vector<CategoryResult> all, without_special;
  for (const char* case_id : {"2.1", "2.3", "2.4"}) {
    for (const TextCategory& category : text_categories(case_id)) {
      const std::vector<std::vector<TokenId>> lists = ids_of(category);
      all.push_back(compare_decoding(category.name, lists, false, category.decoded_sha256));
      without_special.push_back(
          compare_decoding(category.name, lists, true, category.decoded_skip_special_sha256));
    }
  }
  record_categories("Decoded", all);
  record_categories("Decoded without special tokens", without_special);
  if (const auto given = compare_given_ids(); !given.empty()) record_categories("Decoded, one by one", given);
}

TEST_CASE("2.2 decode: the texts of this case encode too", "[2.2]") {
  if (nothing_to_judge()) return;
  record_categories("Encoded", compare_texts("2.2"));
}

TEST_CASE("2.2 decode: token by token; counts and batches", "[2.2]") {
  if (nothing_to_judge()) return;
  record_native_forms();
}

TEST_CASE("2.2 decode: every token's bytes are the same on both sides", "[2.2]") {
  if (nothing_to_judge()) return;
  record_equal("tokens", "vocabulary", std::to_string(reference_tokenizer()->size()),
               std::to_string(native_tokenizer()->size()));
  if (goldens() && !goldens()->tokenization.is_null()) {
    record_equal("tokens, golden", "vocabulary",
                 std::to_string(goldens()->tokenization.at("vocab_size").get<std::int64_t>()),
                 std::to_string(native_tokenizer()->size()));
  }
  record_categories("Every token", {compare_set(token_decoding_set(), false), compare_token_bytes()});
}

TEST_CASE("2.2 decode: ids that are out of range are refused", "[2.2]") {
  if (nothing_to_judge()) return;
  // Up to the model's vocab_size, rows that pad the embedding decode to nothing.
  const auto beyond =
      static_cast<TokenId>(std::max(native_tokenizer()->size(), subject().config().vocab_size));
  for (const TokenId id :
       {beyond, std::numeric_limits<TokenId>::max(), TokenId{-1}, std::numeric_limits<TokenId>::min()}) {
    const std::vector<TokenId> ids{0, id};
    for (const auto& [name, side] :
         {std::pair("native", native_tokenizer()), std::pair("reference", reference_tokenizer())}) {
      const Answer answer = decode_with(*side, ids, false);
      const bool named = answer.text.find(std::to_string(id)) != std::string::npos;
      record_equal(fmt::format("{} refuses", name), fmt::format("id {}", id), "refused, and named",
                   answer.refused && named ? "refused, and named" : answer.text);
    }
  }
}

TEST_CASE("2.3 special tokens and chat format: special tokens inside text", "[2.3]") {
  if (nothing_to_judge()) return;
  record_categories("Texts by category", compare_texts("2.3"));
}

TEST_CASE("2.3 special tokens and chat format: ChatML transcripts", "[2.3]") {
  if (nothing_to_judge()) return;
  const bool golden = goldens() && !goldens()->tokenization.is_null();
  if (const std::string reason = no_chats(); !golden && !reason.empty())
    return record_skip("transcripts", reason);
  const nlohmann::json list = golden
                                  ? goldens()->tokenization
                                  : read_json(options().fixtures / "goldens" / "tiny" / "tokenization.json");
  for (const nlohmann::json& chat : list.at("chats")) {
    const std::string note = chat.at("note");
    const bool prompt = chat.at("add_generation_prompt");
    const std::string native = native_tokenizer()->render_chat(messages_of(chat), prompt);
    const std::string reference = reference_tokenizer()->render_chat(messages_of(chat), prompt);
    record_equal("transcript, native and reference", note, reference, native);
    if (!golden) continue;
    const std::string expected = chat.at("text");
    record_equal("transcript, native and golden", note, expected, native);
    record_equal("transcript, reference and golden", note, expected, reference);
    record_equal("transcript's ids, native and golden", note,
                 text_of(chat.at("ids").get<std::vector<TokenId>>()),
                 text_of(native_tokenizer()->encode(native)));
  }
}

TEST_CASE("2.3 special tokens and chat format: tools, calls and their results", "[2.3]") {
  if (nothing_to_judge()) return;
  record_chat_goldens();
}

TEST_CASE("2.4 hard Unicode: normal forms, joiners, controls, other scripts", "[2.4]") {
  if (nothing_to_judge()) return;
  record_categories("Texts by category", compare_texts("2.4"));
}

TEST_CASE("2.4 hard Unicode: every scalar value alone, between letters and after a space", "[2.4]") {
  if (nothing_to_judge()) return;
  std::vector<CategoryResult> results;
  for (const TokenSet& set : scalar_value_sets()) results.push_back(compare_set(set, options().quick));
  record_categories("Sets", results);
}

TEST_CASE("2.4 hard Unicode: bytes that are no UTF-8 are refused at their offset, or replaced", "[2.4]") {
  if (nothing_to_judge()) return;
  CategoryResult replaced{"broken UTF-8, replaced", 0, {}, {}};
  for (const BrokenText& text : broken_texts()) {
    const std::string expected = fmt::format("refused at byte offset {}", text.offset);
    record_equal("native refuses", "broken UTF-8", expected, refusal_of(*native_tokenizer(), text));
    record_equal("reference refuses", "broken UTF-8", expected, refusal_of(*reference_tokenizer(), text));
    const Answer golden{text.ids};
    compare(replaced, {text.bytes, {.invalid_utf8 = InvalidUtf8::replace}},
            text.ids.empty() ? nullptr : &golden);
  }
  record_categories("Replaced", {replaced});
}

}  // namespace plumbline::phases
