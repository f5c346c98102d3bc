// Added tokens: texts that are one token wherever they stand, and the flags that say where they do not count.
// The rules are those of Hugging Face's tokenizers 0.23.3, found by experiment
// (fixtures/scripts/goldens_tokenizer_flags.py).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "harness/model.h"

namespace plumbline::reference {

struct AddedToken {
  TokenId id = 0;
  std::string content;       // not empty
  bool single_word = false;  // only where no \w of UTS 18 stands beside it
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space behind it
  bool normalized = false;   // looked for in the normalised text, in its own normal form
  bool special = false;
};

// \w of UTS 18, annex C, by ICU's properties.
bool is_word(char32_t c);

class AddedTokens {
 public:
  // What is looked for is each token's content.
  explicit AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {}

  struct Part {
    std::string_view text;  // of a token: with the white space that it takes
    const AddedToken* token = nullptr;
  };

  // Cuts `text` at the tokens in it: the leftmost, the longest of those that begin at one place, then on from
  // its end. One whose flags, or `parse_special`, discard it is plain text and is not searched again. The
  // text around is what counts for the flags: its ends are no words. lstrip ends where the token before does.
  // A token may begin in white space that the one before took (rstrip): it keeps it, and both have it. Throws
  // Error where lstrip is to end behind the token itself then; tokenizers panics there.
  std::vector<Part> cut(std::string_view text, bool parse_special) const;

 private:
  const AddedToken* longest_at(std::string_view text, std::size_t at) const;

  std::vector<AddedToken> tokens_;
};

}  // namespace plumbline::reference
