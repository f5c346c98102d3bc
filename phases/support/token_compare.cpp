#include "phases/support/token_compare.h"

#include "harness/encoding_stages.h"
#include "harness/error.h"
#include "phases/support/sides.h"
#include "phases/support/suite.h"
#include "reference/unicode_exclusions.h"

namespace plumbline::phases {
namespace {

template <typename Ask>
Answer answer(const Ask& ask) {
  try {
    return ask();
  } catch (const Error& error) {
    return {{}, error.what(), true};
  }
}

// Whether some added token asks what stands beside it.
bool has_single_word_tokens() {
  static const bool has = [] {
    const std::filesystem::path path = options().model / "tokenizer.json";
    if (!std::filesystem::exists(path)) return false;
    const nlohmann::json file = read_json(path);
    if (!file.contains("added_tokens")) return false;
    for (const nlohmann::json& token : file.at("added_tokens")) {
      if (token.value("single_word", false)) return true;
    }
    return false;
  }();
  return has;
}

}  // namespace

bool Answer::operator==(const Answer& other) const {
  if (refused || other.refused) return refused == other.refused;
  return ids == other.ids && text == other.text;
}

Answer encode_with(const Tokenizer& tokenizer, std::string_view text, const EncodeOptions& options) {
  return answer([&] { return Answer{tokenizer.encode(text, options)}; });
}

Answer decode_with(const Tokenizer& tokenizer, std::span<const TokenId> ids, bool skip_special_tokens) {
  return answer([&] { return Answer{{}, tokenizer.decode(ids, skip_special_tokens)}; });
}

Answer ask(const Tokenizer& tokenizer, const Question& question) {
  return question.decoding ? decode_with(tokenizer, question.ids, question.skip_special_tokens)
                           : encode_with(tokenizer, question.text, question.options);
}

void PairResult::add(const Question& question, const Answer& expected, const Answer& actual) {
  ++compared;
  if (expected == actual) return;
  ++mismatches;
  if (!first) first = TokenMismatch{question, expected, actual};
}

void PairResult::append(PairResult later) {
  compared += later.compared;
  mismatches += later.mismatches;
  if (!first) first = std::move(later.first);
}

void CategoryResult::append(CategoryResult later) {
  texts += later.texts;
  for (auto& [pair, result] : later.pairs) pairs[pair].append(std::move(result));
  for (const auto& [reason, count] : later.excluded) excluded[reason] += count;
}

std::optional<std::string> reference_excluded(const Question& question) {
  // What is not UTF-8 is read by none of the libraries; phase 2 asks it of well-known characters alone.
  if (question.decoding || question.options.invalid_utf8 == InvalidUtf8::replace) return std::nullopt;
  const auto found = reference::excluded(question.text, has_single_word_tokens());
  if (!found) return std::nullopt;
  const std::size_t colon = found->reason.find(": ");  // after the code point
  return colon == std::string::npos ? found->reason : found->reason.substr(colon + 2);
}

void compare(CategoryResult& result, const Question& question, const Answer* golden) {
  ++result.texts;
  const Answer native = ask(*native_tokenizer(), question);
  if (golden != nullptr) result.pairs[SidePair::native_golden].add(question, *golden, native);
  if (const std::optional<std::string> reason = reference_excluded(question)) {
    ++result.excluded[*reason];
    return;
  }
  const Answer reference = ask(*reference_tokenizer(), question);
  result.pairs[SidePair::native_reference].add(question, reference, native);
  if (golden != nullptr) result.pairs[SidePair::reference_golden].add(question, *golden, reference);
}

namespace {

void compare_stages(CategoryResult& result, const Question& question) {
  if (reference_excluded(question)) return;
  PairResult& pair = result.pairs[SidePair::stages];
  ++pair.compared;
  try {
    const EncodingStages expected = reference_tokenizer()->encode_in_stages(question.text, question.options);
    const EncodingStages actual = native_tokenizer()->encode_in_stages(question.text, question.options);
    if (!first_parting(expected, actual)) return;
  } catch (const Error&) {  // the ids tell of what one side refuses
    return;
  }
  ++pair.mismatches;
  if (!pair.first) {
    pair.first =
        TokenMismatch{question, ask(*reference_tokenizer(), question), ask(*native_tokenizer(), question)};
  }
}

}  // namespace

CategoryResult compare_category(const TextCategory& category) {
  CategoryResult result{category.name, 0, {}, {}};
  for (std::size_t i = 0; i < category.texts.size(); ++i) {
    Question question{category.texts[i], category.options};
    if (!category.pieces.empty()) question.golden_pieces = category.pieces.at(i);
    if (category.ids.empty()) {
      compare(result, question, nullptr);
    } else {
      const Answer golden{category.ids.at(i)};
      compare(result, question, &golden);
    }
    compare_stages(result, question);
  }
  return result;
}

}  // namespace plumbline::phases
