// What a checkpoint's files say of its tokenizer, from tokenizer.json or from vocab.json and merges.txt.
#pragma once

#include <filesystem>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "harness/model.h"
#include "reference/internal/added_tokens.h"
#include "reference/internal/json_fields.h"

namespace plumbline::reference {

struct TokenizerFile {
  std::string where;  // for messages
  bool nfc = false;
  std::string pattern;
  std::unordered_map<std::string, TokenId> vocab;                // in byte symbols
  std::vector<std::pair<std::string, std::string>> merges = {};  // by rank
  std::vector<AddedToken> added = {};
};

// Both throw Error, naming file and part, for what is not byte-level BPE in Qwen2's form.
TokenizerFile read_tokenizer_json(const std::filesystem::path& path);
// Pattern, normaliser and added tokens as transformers' Qwen2Tokenizer takes them.
TokenizerFile read_vocab_and_merges(const std::filesystem::path& directory);

// An object of token -> id. Throws Error for an id that is no reasonable whole number.
std::unordered_map<std::string, TokenId> read_vocab(const nlohmann::json& vocab, const std::string& where);
// "left right". Throws Error unless there are two parts.
std::pair<std::string, std::string> split_merge(std::string_view merge, const std::string& where);
// Absent flags are false. Throws Error for flags of another type and for an empty content.
AddedToken read_added_token(const JsonFields& entry, TokenId id);

constexpr std::int64_t kLargestId = std::int64_t{1} << 24;

}  // namespace plumbline::reference
