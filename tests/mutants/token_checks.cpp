#include "tests/mutants/token_checks.h"

#include <cctype>
#include <map>
#include <tuple>

#include <fmt/format.h>

#include "phases/support/chat_goldens.h"
#include "phases/support/token_report.h"
#include "phases/support/token_sets.h"

namespace plumbline::mutants {
namespace {

using phases::CategoryResult;
using phases::SidePair;

class RememberingTokenizer final : public Tokenizer {
 public:
  explicit RememberingTokenizer(const Tokenizer& asked) : asked_(asked) {}
  using Tokenizer::encode;
  using Tokenizer::render_chat;
  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options) const override {
    const auto key = std::tuple(std::string(text), options.invalid_utf8, options.parse_special);
    const auto found = ids_.find(key);
    return found != ids_.end() ? found->second : ids_[key] = asked_.encode(text, options);
  }
  EncodingStages encode_in_stages(std::string_view text, const EncodeOptions& options) const override {
    const auto key = std::tuple(std::string(text), options.invalid_utf8, options.parse_special);
    const auto found = stages_.find(key);
    return found != stages_.end() ? found->second : stages_[key] = asked_.encode_in_stages(text, options);
  }
  std::string decode(std::span<const TokenId> ids, bool skip_special_tokens) const override {
    return asked_.decode(ids, skip_special_tokens);
  }
  std::string token_bytes(TokenId id) const override { return asked_.token_bytes(id); }
  bool is_special(TokenId id) const override { return asked_.is_special(id); }
  std::int64_t size() const override { return asked_.size(); }
  std::string render_chat(std::span<const ChatMessage> messages, const ChatOptions& options) const override {
    return asked_.render_chat(messages, options);
  }

 private:
  using Key = std::tuple<std::string, InvalidUtf8, bool>;
  const Tokenizer& asked_;
  mutable std::map<Key, std::vector<TokenId>> ids_;
  mutable std::map<Key, EncodingStages> stages_;
};

// As phase 2's page has them: of each pair of sides the first mismatch is explained.
void tell_category(const CategoryResult& result, bool of_reference, const TellFinding& tell) {
  for (const SidePair pair : phases::kSidePairs) {
    const auto at = result.pairs.find(pair);
    if (at == result.pairs.end() || (pair == SidePair::reference_golden && !of_reference)) continue;
    TokenFinding finding{at->second.compared, at->second.mismatches};
    if (at->second.first) {
      const phases::ExplainedMismatch told = phases::explain(pair, *at->second.first);
      finding.stage = told.stage;
      finding.shown_by = fmt::format("{}: {}: {}", result.category, told.asked, told.apart);
    }
    tell(finding);
  }
}

// Phase 2's case 2.4: the offset that an Error names.
TokenFinding refusal(const Tokenizer& subject, const phases::BrokenText& text) {
  const phases::Answer answer = phases::encode_with(subject, text.bytes);
  const std::string expected = fmt::format("byte offset {}", text.offset);
  const std::size_t at = answer.text.find(expected);
  const bool named = answer.refused && at != std::string::npos &&
                     (at + expected.size() == answer.text.size() ||
                      !std::isdigit(static_cast<unsigned char>(answer.text[at + expected.size()])));
  if (named) return {1, 0};
  return {1, 1, "refusal",
          fmt::format("broken UTF-8: expected {}, got {}", expected, answer.refused ? answer.text : "ids")};
}

}  // namespace

std::unique_ptr<Tokenizer> remembering(const Tokenizer& reference) {
  return std::make_unique<RememberingTokenizer>(reference);
}

TokenTexts read_token_texts() {
  TokenTexts texts;
  for (const char* case_id : {"2.1", "2.2", "2.3", "2.4"}) {
    for (phases::TextCategory& category : phases::text_categories(case_id))
      texts.categories.push_back(std::move(category));
  }
  texts.broken = phases::broken_texts();
  return texts;
}

void check_texts(const TokenTexts& texts, bool of_reference, const TellFinding& tell) {
  for (const phases::TextCategory& category : texts.categories)
    tell_category(phases::compare_category(category), of_reference, tell);
}

void check_decoding(const TokenTexts& texts, bool of_reference, const TellFinding& tell) {
  for (const phases::TextCategory& category : texts.categories) {
    for (const bool skip : {false, true}) {
      const std::string& golden = skip ? category.decoded_skip_special_sha256 : category.decoded_sha256;
      tell_category(phases::compare_decoding(category.name, category.ids, skip, golden), of_reference, tell);
    }
  }
  tell_category(phases::compare_set(phases::token_decoding_set(), false), of_reference, tell);
}

void check_broken_bytes(const TokenTexts& texts, const Tokenizer& subject, const TellFinding& tell) {
  CategoryResult replaced{"broken UTF-8, replaced", 0, {}, {}};
  for (const phases::BrokenText& text : texts.broken) {
    tell(refusal(subject, text));
    const phases::Answer golden{text.ids};
    phases::compare(replaced, {text.bytes, {.invalid_utf8 = InvalidUtf8::replace}}, &golden);
  }
  tell_category(replaced, true, tell);
}

void check_chats(const std::filesystem::path& fixtures, const Tokenizer& subject, const TellFinding& tell) {
  for (const phases::Conversation& chat : phases::golden_conversations(fixtures)) {
    const std::string text = phases::rendered(subject, chat);
    TokenFinding finding{1, text == chat.text ? 0 : 1};
    if (finding.wrong > 0) {
      finding.stage = "chat";
      finding.shown_by = chat.note;
    }
    tell(finding);
  }
}

}  // namespace plumbline::mutants
