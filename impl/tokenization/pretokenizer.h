// Cuts text into the pieces that byte-pair merges work within.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "impl/tokenization/regex_split.h"

namespace plumbline::native {

// Qwen2's pattern, as its tokenizer.json has it. A scanner does its work.
inline constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// Where the match of kQwen2Pattern that begins at `begin` ends. `text` is valid UTF-8, `begin` a character's
// first byte within it: the pattern matches everywhere, so matches in a row are the whole text. In all, time
// is linear in the text.
std::size_t qwen2_piece_end(std::string_view text, std::size_t begin);

class PreTokenizer {
 public:
  // The scanner for kQwen2Pattern, a regex engine for any other. Throws Error as RegexSplit
  // does.
  PreTokenizer(const std::string& pattern, const std::string& where);

  // Calls `take(std::string_view)` for each piece of valid UTF-8, in order; together they are the whole text.
  template <typename Take>
  void split(std::string_view text, const Take& take) const {
    if (regex_ != nullptr) return regex_->split(text, take);
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = qwen2_piece_end(text, begin);
      take(text.substr(begin, end - begin));
      begin = end;
    }
  }

 private:
  std::unique_ptr<const RegexSplit> regex_;  // null: Qwen2's pattern
};

}  // namespace plumbline::native
