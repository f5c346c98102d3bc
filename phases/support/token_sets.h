// Sets of texts that are too large to be kept: every scalar value, all pairs of ASCII characters, every
// token. Their goldens are SHA-256s over blocks of them, as fixtures/scripts/goldens_token_sets.py makes
// them; within a block that differs, the text is found by comparing the sides.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "phases/support/token_compare.h"

namespace plumbline::phases {

struct TokenSet {
  std::string name;
  std::int64_t count = 0;
  std::function<std::optional<Question>(std::int64_t)> question;  // of a number; nullopt: there is none
};

// Every scalar value alone, between letters and after a space.
std::vector<TokenSet> scalar_value_sets();
TokenSet ascii_pairs();
TokenSet token_text_set();      // the text of every token, as the native side decodes it alone, is encoded
TokenSet token_decoding_set();  // every token is decoded alone

// All blocks, or, to be quick, the first two and one in sixteen of the others.
CategoryResult compare_set(const TokenSet& set, bool quick);

// The raw bytes of every token, of the two sides.
CategoryResult compare_token_bytes();

// Each list of ids decoded on both sides; all texts of one side together have the golden SHA-256, where there
// is one.
CategoryResult compare_decoding(const std::string& category, const std::vector<std::vector<TokenId>>& lists,
                                bool skip_special_tokens, const std::string& golden_sha256);

// The bytes that a golden SHA-256 is taken of: the number of ids and the ids; the length of a text and the
// text. Numbers as u32, little-endian.
std::string hashed_form(const Answer& answer, bool decoding);
std::string utf8_of(std::uint32_t code_point);
std::string sha256_of(std::string_view bytes);

}  // namespace plumbline::phases
