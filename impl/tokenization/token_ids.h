// Token ids by token text, while a tokenizer is loaded, and the checks that need all of them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "harness/model.h"
#include "impl/tokenization/piece_table.h"
#include "impl/tokenization/tokenizer_file.h"
#include "impl/tokenization/vocabulary.h"

namespace plumbline::native {

class TokenIds {
 public:
  // Throws Error for a text or an id that two tokens have.
  explicit TokenIds(const TokenizerFile& file);
  TokenIds(const TokenIds&) = delete;  // ids_ points into texts_
  TokenIds& operator=(const TokenIds&) = delete;

  // By text in the byte-level alphabet. kNoToken: there is none.
  TokenId find(std::string_view text) const { return text.empty() ? empty_ : ids_.find(text); }
  // Of a text that a merge names or gives. Throws Error where there is none.
  TokenId of_merge(std::string_view text, const TokenizerFile::Merge& merge) const;
  // Throws Error where there is none.
  TokenId of_byte(std::uint8_t byte) const;

  // Hugging Face's tokenizers ignore the ids of added tokens: one whose text the vocabulary has gets its id,
  // others follow the vocabulary in the order of the file. A file that says otherwise means two things:
  // Error.
  void check_added(const TokenizerFile& file) const;

 private:
  std::string where_;
  Vocabulary texts_;  // in the byte-level alphabet
  PieceTable ids_;    // of those that are not empty
  TokenId empty_ = kNoToken;
};

}  // namespace plumbline::native
