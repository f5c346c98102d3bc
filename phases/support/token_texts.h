// The texts of phase 2 by category, and what Hugging Face's tokenizers made of them where the checkpoint has
// goldens: fixtures/goldens/token_texts.json, NAME/tokenization.json, NAME/tokenization_texts.json and
// NAME/tokenization_sets.json, whose formats fixtures/README.md describes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "harness/tokenizer.h"

namespace plumbline::phases {

struct TextCategory {
  std::string name;
  std::vector<std::string> texts;
  EncodeOptions options = {};
  // Where the checkpoint has goldens: of each text; else empty.
  std::vector<std::vector<TokenId>> ids = {};
  // Of the pre-tokenizer, and special tokens, in normal form; empty lists where unknown.
  std::vector<std::vector<std::string>> pieces = {};
  // SHA-256 of all decoded texts; empty where there are none.
  std::string decoded_sha256 = {}, decoded_skip_special_sha256 = {};
};

// The categories of "2.1" … "2.4": the few texts that were picked by hand, and the many that were drawn.
std::vector<TextCategory> text_categories(const std::string& case_id);

// The drawn texts alone, of all cases, in the file's order.
struct DrawnTexts {
  std::string case_id;
  std::string category;
  std::vector<std::string> texts;
};
const std::vector<DrawnTexts>& drawn_texts();

struct BrokenText {
  std::string bytes;              // not UTF-8
  std::size_t offset;             // of the first byte that is wrong
  std::string replaced;           // with U+FFFD for each maximal ill-formed part
  std::vector<TokenId> ids = {};  // of `replaced`; empty without goldens
};
std::vector<BrokenText> broken_texts();

// tokenization_sets.json of the checkpoint; null where it has no goldens.
const nlohmann::json& golden_token_sets();

// Why goldens do not judge, or a remark on what they are of; empty where all is as usual.
std::string remark_on_token_goldens();

}  // namespace plumbline::phases
