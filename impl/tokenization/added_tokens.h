// Added tokens: texts that are one token wherever they stand, with the flags of Hugging Face's tokenizers.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "harness/model.h"

namespace plumbline::native {

struct AddedToken {
  TokenId id = 0;
  std::string content;  // not empty
  bool special = false;
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space behind it
  bool single_word = false;  // only where no word character (\w) stands beside it
  bool normalized = false;   // looked for in normalised text; else in the text as written
};

// Finds a set of added tokens: the leftmost, and the longest of those that begin at one place.
class AddedTokenFinder {
 public:
  // `tokens`: the texts to look for are their contents. The first of two equal ones counts.
  explicit AddedTokenFinder(std::vector<AddedToken> tokens);

  struct Part {
    std::string_view text;    // with the white space that the token takes
    const AddedToken* token;  // null for text between tokens
  };
  // Cuts valid UTF-8 at the tokens, without empty parts; `parts` is overwritten. Its pointers are valid as
  // long as this. Special tokens are left in the text unless `special`. A token may begin in white space that
  // the one before took: then both have it. One that wants white space before it and lies wholly in what
  // another took is an Error.
  void cut(std::string_view text, bool special, std::vector<Part>& parts) const;

 private:
  std::size_t next_begin(std::string_view text, std::size_t from) const;
  const AddedToken* longest_at(std::string_view text) const;

  std::vector<AddedToken> tokens_;  // by content
  std::array<bool, 256> begins_{};  // bytes that a token begins with
  char only_beginning_ = 0;         // if all begin with one
  bool one_beginning_ = false;
};

}  // namespace plumbline::native
