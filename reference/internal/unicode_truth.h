// What each code point is to the pinned Hugging Face tokenizers, as measured.
#pragma once

#include <span>
#include <string_view>

namespace plumbline::reference {

struct CodePoints {
  char32_t first = 0;
  char32_t last = 0;
};

struct UnicodeTruth {
  std::string_view library;                 // its name and version
  std::string_view split_version;           // Unicode's, of its regular expressions
  std::string_view nfc_version;             // Unicode's, of its NFC
  std::span<const CodePoints> letters;      // \p{L}
  std::span<const CodePoints> numbers;      // \p{N}
  std::span<const CodePoints> white_space;  // \s
  std::span<const CodePoints> words;        // \w, of single_word
  std::span<const CodePoints> replaced;     // NFC replaces the character alone by another
  std::span<const CodePoints> made;         // NFC makes it of others
  std::span<const CodePoints> marks;        // NFC reorders it (combining class above 0)
};

const UnicodeTruth& unicode_truth();

}  // namespace plumbline::reference
