// What the tokenizer needs of Unicode: UTF-8, three character classes, and normalisation form C.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace plumbline::native {

// \p{L}, \p{N} and \s (White_Space) of a regular expression; they do not overlap.
enum class CharClass : std::uint8_t { other, letter, number, space };

// The version of the tables, "14.0.0". Letters that a later version assigned are `other` here.
std::string_view unicode_version();

CharClass char_class(char32_t code_point);

// The offset of the first byte that is not valid UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing
// beyond U+10FFFF), or npos.
std::size_t find_invalid_utf8(std::string_view text);

// The code point at `offset`, which moves behind it. `text` must be valid UTF-8.
char32_t next_code_point(std::string_view text, std::size_t& offset);
void append_utf8(std::string& text, char32_t code_point);

// Each maximal ill-formed part becomes one U+FFFD, as the Unicode Standard recommends (chapter 3, "U+FFFD
// Substitution of Maximal Subparts") and Rust's String::from_utf8_lossy does.
std::string replace_invalid_utf8(std::string_view bytes);

// Normalisation form C (UAX #15) of valid UTF-8.
std::string nfc(std::string_view text);

}  // namespace plumbline::native
