#include "reference/internal/unicode_libraries.h"

#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>
#include <unicode/uvernum.h>
#include <unicode/uversion.h>

#include "harness/error.h"
#include "reference/internal/added_tokens.h"
#include "reference/internal/pretokenizer.h"
#include "reference/internal/utf8.h"

namespace plumbline::reference {
namespace {

constexpr char32_t kEnd = 0x110000;

bool is_surrogate(char32_t c) {
  return c >= 0xD800 && c < 0xE000;
}

template <typename Predicate>
CodePointSet set_of(Predicate predicate) {
  CodePointSet set(kEnd);
  for (char32_t c = 0; c < kEnd; ++c) set[c] = !is_surrogate(c) && predicate(c);
  return set;
}

// One pass of the pattern over a text of all characters, each between others that it does not match.
CodePointSet matched(const std::string& pattern) {
  std::string text;
  for (char32_t c = 0; c < kEnd; ++c) {
    if (!is_surrogate(c)) text += utf8_of(c) + "\x01";
  }
  CodePointSet set(kEnd);
  for (const std::string_view piece : RegexSplit(pattern, "the reference")(text)) {
    const Utf8Step step = utf8_step(piece, 0);
    const bool alone = step.length == piece.size() && step.code_point != 1;
    if (alone) set[step.code_point] = true;
  }
  return set;
}

const icu::Normalizer2& icu_nfc() {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* form = icu::Normalizer2::getNFCInstance(status);
  require(U_SUCCESS(status) && form != nullptr, "ICU has NFC's data");
  return *form;
}

// The two parts of a character that NFC makes of them; 0 for others.
std::pair<char32_t, char32_t> parts_of(char32_t c) {
  icu::UnicodeString parts;
  if (!icu_nfc().getRawDecomposition(static_cast<UChar32>(c), parts) || parts.countChar32() != 2) return {};
  const UChar32 first = parts.char32At(0);
  const UChar32 second = parts.char32At(parts.moveIndex32(0, 1));
  const bool made = icu_nfc().composePair(first, second) == static_cast<UChar32>(c);
  return made ? std::pair(static_cast<char32_t>(first), static_cast<char32_t>(second))
              : std::pair<char32_t, char32_t>();
}

bool decomposes(char32_t c) {
  icu::UnicodeString parts;
  return icu_nfc().getRawDecomposition(static_cast<UChar32>(c), parts) != 0;
}

std::string icu_version() {
  UVersionInfo version{};
  u_getUnicodeVersion(version);
  return std::string("ICU ") + U_ICU_VERSION + " (Unicode " + std::to_string(version[0]) + "." +
         std::to_string(version[1]) + ")";
}

}  // namespace

UnicodeLibraries ask_unicode_libraries() {
  UnicodeLibraries asked;
  asked.pcre2 = regex_library();
  asked.icu = icu_version();
  asked.letters = matched("\\p{L}");
  asked.numbers = matched("\\p{N}");
  asked.white_space = matched("\\s");
  asked.words = set_of(is_word);
  asked.made = set_of([](char32_t c) { return parts_of(c).first != 0; });
  asked.replaced = set_of([&](char32_t c) { return decomposes(c) && !asked.made[c]; });
  asked.marks = set_of(
      [&](char32_t c) { return u_getCombiningClass(static_cast<UChar32>(c)) != 0 && !asked.replaced[c]; });
  return asked;
}

char32_t second_part(char32_t made) {
  const char32_t second = parts_of(made).second;
  return second == 0 ? made : second;
}

}  // namespace plumbline::reference
