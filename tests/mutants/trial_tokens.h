// The tokenizer on trial: mistakes planted in a third one, judged by the texts and comparisons of phase 2.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/mutants/token_mistakes.h"

namespace plumbline::mutants {

struct TokenResult {
  TokenMutation mutation;
  std::int64_t compared = 0;  // texts, lists of ids, chats
  std::int64_t wrong = 0;
  std::string first_wrong;  // the stage that is named for the first
  std::string others;       // other stages that are named anywhere
  std::string shown_by;     // the first: its category, the text, what came
  bool planted() const { return mutation.mistake != TokenMistake::none; }
  bool killed() const { return planted() && wrong > 0; }
  bool blamed_right() const {
    return planted() && first_wrong == mutation.blamed && (others.empty() || others == mutation.also);
  }
};

// On tiny's vocabulary and its goldens, in `fixtures`. The third tokenizer without a mistake comes first, and
// the native one second: nothing may be wrong with them.
std::vector<TokenResult> try_tokens(const std::filesystem::path& fixtures);

// What is not as it must be.
std::vector<std::string> complaints_of(const std::vector<TokenResult>& results);
std::string token_section(const std::vector<TokenResult>& results);  // Markdown

}  // namespace plumbline::mutants
