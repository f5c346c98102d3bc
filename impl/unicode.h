// What the tokenizer needs of Unicode: UTF-8, character classes, and normalisation form C.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "impl/unicode_tables.h"

namespace plumbline::native {

// \p{L}, \p{N} and \s (White_Space) of a regular expression; they do not overlap.
enum class CharClass : std::uint8_t { other, letter, number, space };

// The versions of the tables, "16.0.0": of the classes, and of normalisation, which is older. What a later
// version assigned is `other` here, and inert under NFC. docs/tokenizer.md says why these two.
std::string_view unicode_version();
std::string_view nfc_version();

// Both take any code point up to U+10FFFF, surrogates too.
inline CharClass char_class(char32_t code_point) {
  return static_cast<CharClass>(code_point_properties(code_point) & kPropertyClass);
}
// \w of a regular expression: letters and other alphabetic ones, marks, decimal digits, connectors and
// joiners (UTS #18, annex C).
inline bool is_word(char32_t code_point) {
  return (code_point_properties(code_point) & kPropertyWord) != 0;
}

// One pass over a text: what a tokenizer must know of it before anything else.
struct TextScan {
  // The offset of the first byte that is not valid UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing
  // beyond U+10FFFF), or npos.
  std::size_t invalid_at = std::string_view::npos;
  // Whether nfc() might change the part before invalid_at: false is certain (UAX #15, "Detecting
  // normalization forms").
  bool may_change_under_nfc = false;
};
TextScan scan_text(std::string_view text);

// scan_text()'s answers one by one; the second wants valid UTF-8 and stops at the first doubt.
std::size_t find_invalid_utf8(std::string_view text);
// The offset of the first character at or after `offset` that nfc() might change, or npos.
std::size_t find_nfc_doubt(std::string_view text, std::size_t offset = 0);
inline bool may_change_under_nfc(std::string_view text) {
  return find_nfc_doubt(text) != std::string_view::npos;
}

// The code point at `offset`, which moves behind it. `text` must be valid UTF-8, `offset` at the start of a
// character.
inline char32_t next_code_point(std::string_view text, std::size_t& offset) {
  const auto byte = [&] { return static_cast<char32_t>(static_cast<unsigned char>(text[offset++])); };
  const char32_t lead = byte();
  if (lead < 0x80) return lead;
  char32_t value = byte() & 0x3F;
  if (lead < 0xE0) return ((lead & 0x1F) << 6) | value;
  value = (value << 6) | (byte() & 0x3F);
  if (lead < 0xF0) return ((lead & 0x0F) << 12) | value;
  value = (value << 6) | (byte() & 0x3F);
  return ((lead & 0x07) << 18) | value;
}
void append_utf8(std::string& text, char32_t code_point);

// Each maximal ill-formed part becomes one U+FFFD, as the Unicode Standard recommends (chapter 3, "U+FFFD
// Substitution of Maximal Subparts") and Rust's String::from_utf8_lossy does.
std::string replace_invalid_utf8(std::string_view bytes);

// Normalisation form C (UAX #15) of valid UTF-8. Linear in the length but for runs of marks in the wrong
// order, which are sorted.
std::string nfc(std::string_view text);

}  // namespace plumbline::native
