#include "tests/mutants/trial_tokens.h"

#include <algorithm>

#include <fmt/format.h>

#include "harness/report_text.h"
#include "impl/tokenizer.h"
#include "phases/support/chat_goldens.h"
#include "reference/tokenizer.h"
#include "tests/mutants/token_checks.h"
#include "tests/mutants/token_sides.h"
#include "tests/mutants/token_tokenizer.h"
#include "tests/mutants/token_variants.h"
#include "tests/support/temporary_directory.h"

namespace plumbline::mutants {
namespace {

using M = TokenMistake;

// tiny's tokenizer with the template of the chat goldens.
struct TokenStage {
  std::filesystem::path fixtures;
  TemporaryDirectory directory;
  native::TokenizerFile file;
  std::unique_ptr<Tokenizer> native, reference, remembered;
  TokenTexts texts;
  std::vector<AddedTokenVariant> variants;

  explicit TokenStage(const std::filesystem::path& from) : fixtures(from) {
    phases::write_chat_checkpoint(fixtures, directory.path());
    file = native::read_tokenizer_json(directory / "tokenizer.json");
    native = native::load_tokenizer(directory.path());
    reference = reference::load_tokenizer(directory.path());
    remembered = remembering(*reference);
    use_goldens(fixtures);
    use_tokenizers(*native, *reference);
    texts = read_token_texts();
    variants = read_added_token_variants(fixtures);
  }
};

void note(TokenResult& result, const TokenFinding& finding) {
  result.compared += finding.compared;
  if (finding.wrong == 0) return;
  result.wrong += finding.wrong;
  if (result.first_wrong.empty()) {
    result.first_wrong = finding.stage;
    result.shown_by = finding.shown_by;
  } else if (finding.stage != result.first_wrong && result.others.find(finding.stage) == std::string::npos) {
    if (!result.others.empty()) result.others += ", ";
    result.others += finding.stage;
  }
}

// `make`: the subject over a file, beside the native tokenizer over the same.
TokenResult try_one(const TokenStage& stage, const TokenMutation& mutation, const auto& make) {
  TokenResult result;
  result.mutation = mutation;
  const bool clean = !result.planted();
  const TellFinding tell = [&result](const TokenFinding& finding) { note(result, finding); };
  const auto subject = make(stage.file, *stage.native);
  use_tokenizers(*subject, *stage.remembered);
  check_texts(stage.texts, clean, tell);
  check_broken_bytes(stage.texts, *subject, tell);
  check_decoding(stage.texts, clean, tell);
  check_chats(stage.fixtures, *subject, tell);
  // Many files: only for what has to do with added tokens.
  if (!clean && mutation.blamed != "added tokens") return result;
  for (const AddedTokenVariant& variant : stage.variants) {
    const auto over_variant = make(variant.file, *variant.native);
    use_tokenizers(*over_variant, *variant.reference);
    check_texts({variant.categories, {}}, clean, tell);
  }
  return result;
}

// The native tokenizer itself, handed through.
class Itself final : public Tokenizer {
 public:
  explicit Itself(const Tokenizer& native) : native_(native) {}
  using Tokenizer::encode;
  using Tokenizer::render_chat;
  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options) const override {
    return native_.encode(text, options);
  }
  EncodingStages encode_in_stages(std::string_view text, const EncodeOptions& options) const override {
    return native_.encode_in_stages(text, options);
  }
  std::string decode(std::span<const TokenId> ids, bool skip) const override {
    return native_.decode(ids, skip);
  }
  std::string token_bytes(TokenId id) const override { return native_.token_bytes(id); }
  bool is_special(TokenId id) const override { return native_.is_special(id); }
  std::int64_t size() const override { return native_.size(); }
  std::string render_chat(std::span<const ChatMessage> messages, const ChatOptions& options) const override {
    return native_.render_chat(messages, options);
  }

 private:
  const Tokenizer& native_;
};

std::string cell(const std::string& text) {
  constexpr std::size_t kReadable = 200;
  return markdown_cell(text.size() > kReadable ? text.substr(0, kReadable) + "…" : text);
}

}  // namespace

std::vector<TokenResult> try_tokens(const std::filesystem::path& fixtures) {
  const TokenStage stage(fixtures);
  const auto planted = [&](const TokenMutation& mutation) {
    return try_one(stage, mutation, [&](const native::TokenizerFile& file, const Tokenizer& native) {
      return make_planted_tokenizer(file, native, mutation.mistake);
    });
  };
  std::vector<TokenResult> results{planted({M::none, "no mistake", ""})};
  results.push_back(try_one(stage, {M::none, "the native tokenizer", ""},
                            [](const native::TokenizerFile&, const Tokenizer& native) {
                              return std::make_unique<Itself>(native);
                            }));
  for (const TokenMutation& mutation : all_token_mutations()) results.push_back(planted(mutation));
  return results;
}

std::vector<std::string> complaints_of(const std::vector<TokenResult>& results) {
  std::vector<std::string> complaints;
  for (const TokenResult& each : results) {
    const std::string& name = each.mutation.name;
    if (!each.planted()) {
      if (each.wrong == 0) continue;
      complaints.push_back(fmt::format("tokenizer, {}: {} called wrong in {} ({})", name, each.wrong,
                                       each.first_wrong, each.shown_by));
    } else if (!each.killed()) {
      complaints.push_back(fmt::format("tokenizer mutant '{}' survives", name));
    } else if (!each.blamed_right()) {
      complaints.push_back(fmt::format("tokenizer mutant '{}': parts at {}{}{} ({}), planted in {}", name,
                                       each.first_wrong, each.others.empty() ? "" : " and ", each.others,
                                       each.shown_by, each.mutation.blamed));
    }
  }
  return complaints;
}

std::string token_section(const std::vector<TokenResult>& results) {
  std::string text =
      "## Tokenizer\n\nMistakes planted in a third tokenizer, put together from the native one's parts, over "
      "tiny's "
      "vocabulary: the texts, goldens and comparisons of phase 2, with the reference beside them. For "
      "mistakes "
      "of added tokens also files with other ones, whose goldens the tests of both sides use. The tokenizer "
      "without a mistake, and the native one, must agree everywhere. The stage is the one that phase 2's "
      "page "
      "names.\n\n"
      "| mistake | wrong | stage | the first |\n| --- | --- | --- | --- |\n";
  for (const TokenResult& each : results) {
    text += fmt::format("| {} | {} of {} | {}{}{} | {} |\n", cell(each.mutation.name), each.wrong,
                        each.compared, each.first_wrong.empty() ? "–" : each.first_wrong,
                        each.others.empty() ? "" : ", ", each.others, cell(each.shown_by));
  }
  return text + "\n";
}

}  // namespace plumbline::mutants
