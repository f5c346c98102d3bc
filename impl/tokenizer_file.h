// tokenizer.json, checked to be of Qwen2's form and read into plain data.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "harness/model.h"

namespace plumbline::native {

struct AddedToken {
  TokenId id = 0;
  std::string content;
  bool special = false;
};

struct TokenizerFile {
  std::unordered_map<std::string, TokenId> vocab;           // in the byte-level alphabet
  std::vector<std::pair<std::string, std::string>> merges;  // by rank
  std::vector<AddedToken> added;
};

// Throws Error naming what is not of Qwen2's form: the normalizer, the pre-tokenizer's pattern, the model's
// options, an added token that strips or is normalised, …
TokenizerFile read_tokenizer_file(const std::filesystem::path& path);

}  // namespace plumbline::native
