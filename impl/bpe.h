// Byte-pair encoding: starts from single bytes and joins, again and again, the neighbouring pair whose merge
// was learned first (Sennrich et al., https://arxiv.org/abs/1508.07909); the leftmost wins a tie.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "harness/model.h"

namespace plumbline::native {

class BytePairEncoder {
 public:
  void set_byte(std::uint8_t byte, TokenId id) { bytes_[byte] = id; }
  // `rank` orders merges, the lowest first; a pair given twice keeps the last, as in Hugging Face's
  // tokenizers.
  void add_merge(TokenId left, TokenId right, std::int32_t rank, TokenId merged);

  // Appends the tokens of one piece to `out`.
  void encode(std::string_view piece, std::vector<TokenId>& out) const;

 private:
  struct Merge {
    std::int32_t rank;
    TokenId merged;
  };
  const Merge* find(TokenId left, TokenId right) const;

  std::array<TokenId, 256> bytes_{};
  std::unordered_map<std::uint64_t, Merge> merges_;  // by left << 32 | right
};

}  // namespace plumbline::native
