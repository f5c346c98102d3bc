// Cuts text at the matches of any regular expression, for pre-tokenizers whose pattern no scanner knows.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace plumbline::native {

// A Split of Hugging Face's tokenizers with the behaviour "Isolated": each match is a piece, and so is the
// text between two matches.
//
// The engine is PCRE2. Its Unicode may be older than that of the tokenizers library, so \p{L}, \p{N}, \s and
// their complements are written out from impl/unicode.h before it sees them. Other categories (\p{Lu}, \d, …)
// are PCRE2's own; with them, a text that holds a character PCRE2 does not know is refused. So is, where it
// is loaded, a pattern with what PCRE2 and Oniguruma, the library's engine, take differently (\w, \b, sets
// within sets, …).
class RegexSplit {
 public:
  // Throws Error for a pattern that does not compile, or means different things to different engines.
  RegexSplit(const std::string& pattern, const std::string& where);
  ~RegexSplit();

  // Calls take(std::string_view) for each piece of valid UTF-8; all together are the text. Throws Error when
  // the engine gives up, or for a character that it may class wrongly.
  template <typename Take>
  void split(std::string_view text, const Take& take) const {
    for (const std::string_view piece : pieces(text)) take(piece);
  }

 private:
  struct Compiled;
  std::vector<std::string_view> pieces(std::string_view text) const;

  std::string where_;
  std::unique_ptr<const Compiled> pattern_;
  std::unique_ptr<const Compiled> unknown_;  // null, or what finds characters that PCRE2 does not know
};

}  // namespace plumbline::native
