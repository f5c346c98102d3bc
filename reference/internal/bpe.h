// Byte pair encoding: merges applied from the lowest rank up.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "harness/model.h"
#include "reference/internal/tokenizer_file.h"

namespace plumbline::reference {

class Bpe {
 public:
  // Throws Error for an id used twice, a missing byte symbol, and a merge of or into something that is no
  // token. Of a merge listed twice the last place counts, as in Hugging Face's tokenizers.
  explicit Bpe(const TokenizerFile& file);

  // The ids of one piece, given as bytes.
  std::vector<TokenId> encode(std::string_view piece) const;

 private:
  struct Merge {
    std::uint32_t rank = 0;  // place in the list of merges
    TokenId result = 0;
  };
  void read_bytes(const TokenizerFile& file);
  void read_merges(const TokenizerFile& file);
  bool made_in_order() const;
  std::uint32_t rank_of(TokenId left, TokenId right) const;

  std::array<TokenId, 256> bytes_{};
  std::unordered_map<std::uint64_t, Merge> merges_;  // by both ids
  bool in_order_ = true;  // no merge has a lower rank than one that makes its left or right part
};

}  // namespace plumbline::reference
