#include <iterator>
#include <optional>
#include <utility>

#include "impl/tokenization/pretokenizer.h"
#include "impl/unicode.h"
#include "tests/mutants/token_stages.h"

namespace plumbline::mutants {
namespace {

using M = TokenMistake;
using native::CharClass;

// A stretch of Qwen2's pattern and what the mistake makes of it.
struct Change {
  M mistake;
  std::string_view from, to;
};
constexpr Change kChanges[] = {
    {M::digits_grouped, R"(|\p{N}|)", R"(|\p{N}+|)"},
    {M::digits_in_threes, R"(|\p{N}|)", R"(|\p{N}{1,3}|)"},
    {M::last_space_taken, R"(|\s+(?!\S))", ""},
    {M::line_end_without_space_before, R"(|\s*[\r\n]+)", R"(|[\r\n]+)"},
    {M::line_ends_not_with_signs, R"([^\s\p{L}\p{N}]+[\r\n]*)", R"([^\s\p{L}\p{N}]+)"},
    {M::space_not_with_word, R"([^\r\n\p{L}\p{N}]?\p{L}+)", R"(\p{L}+)"},
    {M::space_not_with_signs, R"(| ?[^\s)", R"(|[^\s)"},
    {M::contractions_in_lower_case_alone, "(?i:", "(?:"},
    {M::long_s_lost, R"((?i:'s|'t|'re|'ve|'m|'ll|'d))", R"('[sS]|(?i:'t|'re|'ve|'m|'ll|'d))"},
};

std::optional<std::string> changed_pattern(M planted) {
  for (const Change& change : kChanges) {
    if (change.mistake != planted) continue;
    std::string pattern(native::kQwen2Pattern);
    return pattern.replace(pattern.find(change.from), change.from.size(), change.to);
  }
  return std::nullopt;
}

// Letters since Unicode 15.0, most of them.
constexpr std::pair<char32_t, char32_t> kNewLetters[] = {
    {0x1C89, 0x1C8A},   {0xA7CB, 0xA7CD},   {0xA7DA, 0xA7DC},   {0x105C0, 0x105F3}, {0x10D4A, 0x10D85},
    {0x11380, 0x113B5}, {0x11F02, 0x11F33}, {0x16100, 0x1611D}, {0x16D40, 0x16D6C}, {0x1E030, 0x1E06D},
    {0x1E4D0, 0x1E4EB}, {0x1E5D0, 0x1E5ED}, {0x2EBF0, 0x2EE5D}, {0x31350, 0x323AF}};

// What the mistake takes a character for.
CharClass mistaken_class(char32_t c, M planted) {
  const CharClass right = native::char_class(c);
  if (planted == M::older_letters && right == CharClass::letter) {
    for (const auto& [first, last] : kNewLetters) {
      if (c >= first && c <= last) return CharClass::other;
    }
  }
  const bool mark = (native::nfc_entry(c) & native::kNfcRank) != 0;
  if (planted == M::marks_are_letters && mark) return CharClass::letter;
  if (planted == M::spaces_of_ascii_alone && right == CharClass::space && c >= 0x80) return CharClass::other;
  return right;
}

// Every character that is mistaken for one of another class stands as one of that class, of as many bytes.
std::string in_disguise(std::string_view text, M planted) {
  constexpr std::string_view kLetters[] = {"", "a", "\u00E9", "\u4E2D", "\U00020000"};
  constexpr std::string_view kOthers[] = {"", "!", "\u00D7", "\u2026", "\U0001F600"};
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t c = native::next_code_point(text, at);
    const CharClass taken_for = mistaken_class(c, planted);
    if (taken_for == native::char_class(c)) {
      out += text.substr(begin, at - begin);
    } else {
      out += (taken_for == CharClass::letter ? kLetters : kOthers)[at - begin];
    }
  }
  return out;
}

}  // namespace

PlantedSplit::PlantedSplit(TokenMistake planted) : planted_(planted) {
  if (const auto pattern = changed_pattern(planted))
    regex_ = std::make_unique<const native::RegexSplit>(*pattern, "a planted pattern");
}

std::vector<std::string> PlantedSplit::operator()(std::string_view given) const {
  const std::string text = (planted_ == M::space_put_before ? " " : "") + std::string(given);
  std::vector<std::string> pieces;
  if (regex_ != nullptr) {
    regex_->split(text, [&](std::string_view piece) { pieces.emplace_back(piece); });
    return pieces;
  }
  const std::string seen = in_disguise(text, planted_);
  for (std::size_t begin = 0; begin < seen.size();) {
    const std::size_t end = native::qwen2_piece_end(seen, begin);
    pieces.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  return pieces;
}

}  // namespace plumbline::mutants
