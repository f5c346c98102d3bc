// What phase 2 asks of a tokenizer, asked of the one on trial.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "harness/tokenizer.h"
#include "phases/support/token_compare.h"

namespace plumbline::mutants {

// One thing that was wrong, or for how many all was right.
struct TokenFinding {
  std::int64_t compared = 0, wrong = 0;
  std::string stage = {};  // of the first that is wrong: one of an encoding, "decode", "refusal", "chat"
  std::string shown_by = {};
};
using TellFinding = std::function<void(const TokenFinding&)>;

// Remembers the reference's answers: it is asked the same for every mistake.
std::unique_ptr<Tokenizer> remembering(const Tokenizer& reference);

// The texts of phase 2, read once.
struct TokenTexts {
  std::vector<phases::TextCategory> categories;
  std::vector<phases::BrokenText> broken;
};
TokenTexts read_token_texts();

// Each of these compares the sides in use (token_sides.h) and, where `of_reference`, the reference with the
// goldens too.
void check_texts(const TokenTexts& texts, bool of_reference, const TellFinding& tell);
void check_decoding(const TokenTexts& texts, bool of_reference, const TellFinding& tell);
void check_broken_bytes(const TokenTexts& texts, const Tokenizer& subject, const TellFinding& tell);
void check_chats(const std::filesystem::path& fixtures, const Tokenizer& subject, const TellFinding& tell);

}  // namespace plumbline::mutants
