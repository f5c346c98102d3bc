// Text as it grows, token by token: never half a character, never the beginning of a stop string.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/tokenizer.h"

namespace plumbline::native {

// All that push() and finish() gave, joined, is what Tokenizer::decode gives for the same tokens.
class TextStream {
 public:
  // The tokenizer must outlive it.
  TextStream(const Tokenizer& tokenizer, bool skip_special_tokens)
      : tokenizer_(&tokenizer), skip_special_tokens_(skip_special_tokens) {}

  // The characters that are whole now. Throws Error for an id out of range: nothing has changed then.
  std::string push(TokenId token);
  // The bytes that are left over, as U+FFFD.
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_tokens_;
  std::string bytes_;  // the beginning of a character
};

// Looks for strings in a text that comes in pieces, across their borders.
class StopStrings {
 public:
  // None of them empty.
  explicit StopStrings(std::vector<std::string> strings);

  // What is certainly part of the output, in order: what might be the beginning of a stop string waits. After
  // a match, the text before it, and nothing more ever.
  std::string push(std::string_view text);
  // What still waited; the text ends here.
  std::string finish();
  // The string that was found: where several are, the one that begins first, then the longest.
  const std::optional<std::string>& found() const { return found_; }

 private:
  std::vector<std::string> strings_;
  std::string waiting_;
  std::optional<std::string> found_;
};

}  // namespace plumbline::native
