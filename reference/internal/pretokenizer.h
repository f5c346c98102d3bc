// Normalization and the cut into pieces that merges do not cross.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace plumbline::reference {

// Unicode's composed normal form. `text` is valid UTF-8.
std::string nfc(std::string_view text);

// A tokenizer's Split by regular expression, behaviour "Isolated": every match is a piece, and so is every
// text between matches. \s means Unicode's White_Space, as in the tokenizers library.
class RegexSplit {
 public:
  // Throws Error for a pattern that does not compile.
  RegexSplit(const std::string& pattern, const std::string& where);
  // Throws Error where PCRE2 gives up: beyond its limits on matching, its heap, or a stack of 256 MiB.
  std::vector<std::string_view> operator()(std::string_view text) const;

 private:
  struct Compiled;
  std::shared_ptr<const Compiled> compiled_;
};

// The linked PCRE2 and its Unicode: "PCRE2 10.42 (Unicode 14.0.0)".
std::string regex_library();

}  // namespace plumbline::reference
