// From bytes to the token that they are, for the pieces of a text: most pieces of ordinary text are one
// token.
//
// Open addressing with linear probing, at most half full. Up to eight bytes are kept in the table itself, so
// that finding them touches one cache line; longer ones are compared in the vocabulary.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "harness/model.h"
#include "impl/tokenization/huge_array.h"
#include "impl/tokenization/vocabulary.h"

namespace plumbline::native {

inline constexpr TokenId kNoToken = -1;

class PieceTable {
 public:
  // Holds those of `ids`, whose bytes are all different and not empty. The vocabulary must outlive it.
  PieceTable(const Vocabulary& vocabulary, const std::vector<TokenId>& ids);

  // kNoToken for bytes that are none of them, and for none.
  TokenId find(std::string_view piece) const {
    return piece.size() <= kShort ? find_short(piece) : find_long(piece);
  }

 private:
  static constexpr std::size_t kShort = 8;
  struct Short {
    std::uint64_t bytes = 0;
    std::uint32_t length = 0;  // 0: free
    TokenId id = kNoToken;
  };
  struct Long {
    std::uint32_t hash = 0;
    TokenId id = kNoToken;  // kNoToken: free
  };
  void add(TokenId id);
  TokenId find_short(std::string_view piece) const;
  TokenId find_long(std::string_view piece) const;

  const Vocabulary* vocabulary_;
  HugeArray<Short> short_;    // a power of two
  HugeArray<Long> long_;      // a power of two
  unsigned short_shift_ = 0;  // a hash's leading bits are the place
};

}  // namespace plumbline::native
