// Byte-pair encoding: starts from single bytes and joins, again and again, the neighbouring pair whose merge
// was learned first (Sennrich et al., https://arxiv.org/abs/1508.07909); the leftmost wins a tie.
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "harness/model.h"
#include "impl/tokenization/merge_table.h"
#include "impl/tokenization/piece_cache.h"
#include "impl/tokenization/piece_table.h"
#include "impl/tokenization/vocabulary.h"

namespace plumbline::native {

class BytePairEncoder {
 public:
  // `byte_tokens`: the token of each byte. `merges` by rank, fewer than 2^31. The vocabulary must outlive it.
  BytePairEncoder(const Vocabulary& vocabulary, const std::array<TokenId, 256>& byte_tokens,
                  const std::vector<MergeTable::Entry>& merges);

  // Appends the tokens of one piece to `out`: in n log n for n bytes. A cache may be null.
  void encode(std::string_view piece, std::vector<TokenId>& out, PieceCache* cache = nullptr) const;

 private:
  // The tokens that merging gives for their own bytes.
  std::vector<TokenId> reachable(const Vocabulary& vocabulary,
                                 const std::vector<MergeTable::Entry>& merges) const;
  void merge_short(std::string_view piece, std::vector<TokenId>& out) const;
  void merge_long(std::string_view piece, std::vector<TokenId>& out) const;

  std::array<TokenId, 256> byte_tokens_;
  MergeTable merges_;
  std::vector<Merge> byte_merges_;  // of two bytes, by left * 256 + right
  PieceTable whole_;                // pieces that are one token
};

}  // namespace plumbline::native
