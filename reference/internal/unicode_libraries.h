// What each code point is to the linked PCRE2 and ICU, as they answer.
#pragma once

#include <string>
#include <vector>

namespace plumbline::reference {

using CodePointSet = std::vector<bool>;  // by code point; 0x110000 of them

struct UnicodeLibraries {
  std::string pcre2;         // "PCRE2 10.42 (Unicode 14.0)"
  std::string icu;           // "ICU 72.1 (Unicode 15.0)"
  CodePointSet letters;      // \p{L} to PCRE2
  CodePointSet numbers;      // \p{N}
  CodePointSet white_space;  // \p{White_Space}
  CodePointSet words;        // \w of UTS 18, by ICU's properties
  CodePointSet replaced;     // by ICU's NFC, as in UnicodeTruth
  CodePointSet made;
  CodePointSet marks;
};

UnicodeLibraries ask_unicode_libraries();

// The second of the two characters of which NFC makes this one; the character itself where ICU knows none.
char32_t second_part(char32_t made);

}  // namespace plumbline::reference
