// A checkpoint's tokenizer files, checked to be byte-level BPE in Qwen2's form and read into plain data.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "harness/model.h"
#include "impl/tokenization/added_tokens.h"

namespace plumbline::native {

struct TokenizerFile {
  struct Token {
    std::string text;  // in the byte-level alphabet
    TokenId id;
  };
  struct Merge {  // of token texts
    std::string left;
    std::string right;
  };
  std::string where;  // the file, for errors
  std::vector<Token> vocab;
  std::vector<Merge> merges;  // by rank
  std::vector<AddedToken> added;
  std::string pattern;  // of the pre-tokenizer
  bool nfc = true;      // whether text is normalised
};

// The largest id that a tokenizer may have.
inline constexpr TokenId kLargestTokenId = 1 << 24;

// tokenizer.json. Throws Error naming what is not of Qwen2's form: the normalizer, the pre-tokenizer, the
// model's options, …
TokenizerFile read_tokenizer_json(const std::filesystem::path& path);

// vocab.json and merges.txt, the older form, of a folder without tokenizer.json; with the added tokens of
// tokenizer_config.json or added_tokens.json. Throws Error when either is missing or broken.
TokenizerFile read_vocab_and_merges(const std::filesystem::path& directory);

}  // namespace plumbline::native
