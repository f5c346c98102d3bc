#include "reference/internal/bpe.h"

#include <algorithm>
#include <limits>

#include "harness/error.h"
#include "reference/internal/byte_level.h"

namespace plumbline::reference {
namespace {

constexpr std::uint32_t kNoRank = std::numeric_limits<std::uint32_t>::max();

std::uint64_t key_of(TokenId left, TokenId right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
         static_cast<std::uint32_t>(right);
}

}  // namespace

Bpe::Bpe(const TokenizerFile& file) {
  std::unordered_map<TokenId, std::string> owners;
  for (const auto& [token, id] : file.vocab) {
    if (!owners.emplace(id, token).second) {
      throw Error("id " + std::to_string(id) + " belongs to two tokens, '" + std::min(owners.at(id), token) +
                      "' and '" + std::max(owners.at(id), token) + "'",
                  file.where);
    }
  }
  read_bytes(file);
  read_merges(file);
  in_order_ = made_in_order();
}

void Bpe::read_bytes(const TokenizerFile& file) {
  for (unsigned byte = 0; byte < 256; ++byte) {
    const auto found = file.vocab.find(byte_symbol(static_cast<unsigned char>(byte)));
    if (found == file.vocab.end()) {
      throw Error("vocab lacks the symbol of byte " + std::to_string(byte), file.where);
    }
    bytes_[byte] = found->second;
  }
}

void Bpe::read_merges(const TokenizerFile& file) {
  for (std::size_t rank = 0; rank < file.merges.size(); ++rank) {
    const auto& [left, right] = file.merges[rank];
    for (const std::string& token : {left, right, left + right}) {
      if (file.vocab.contains(token)) continue;
      throw Error("merge '" + left + " " + right + "' needs the token '" + token + "', which vocab lacks",
                  file.where);
    }
    merges_[key_of(file.vocab.at(left), file.vocab.at(right))] = {static_cast<std::uint32_t>(rank),
                                                                  file.vocab.at(left + right)};
  }
}

// Then what a merge makes cannot be merged before the same merge is done everywhere.
bool Bpe::made_in_order() const {
  std::unordered_map<TokenId, std::uint32_t> last_made;  // token -> the highest rank that makes it
  for (const auto& [pair, merge] : merges_) {
    std::uint32_t& rank = last_made[merge.result];
    rank = std::max(rank, merge.rank);
  }
  for (const auto& [pair, merge] : merges_) {
    for (const std::uint64_t part : {pair >> 32, pair & 0xFFFFFFFFu}) {
      const auto made = last_made.find(static_cast<TokenId>(part));
      if (made != last_made.end() && made->second > merge.rank) return false;
    }
  }
  return true;
}

std::uint32_t Bpe::rank_of(TokenId left, TokenId right) const {
  const auto found = merges_.find(key_of(left, right));
  return found == merges_.end() ? kNoRank : found->second.rank;
}

// The pair of the lowest rank is joined, the leftmost first, until no pair has a rank. In lists that are in
// order all of one rank are joined in one pass from the left, which comes to the same.
std::vector<TokenId> Bpe::encode(std::string_view piece) const {
  std::vector<TokenId> ids;
  for (const char c : piece) ids.push_back(bytes_[static_cast<unsigned char>(c)]);
  std::vector<std::uint32_t> ranks(ids.size(), kNoRank);  // of ids[i] and ids[i + 1]
  for (std::size_t i = 0; i + 1 < ids.size(); ++i) ranks[i] = rank_of(ids[i], ids[i + 1]);
  while (!ids.empty()) {
    const auto first = std::min_element(ranks.begin(), ranks.end());
    const std::uint32_t lowest = *first;
    if (lowest == kNoRank) break;
    auto out = static_cast<std::size_t>(first - ranks.begin());
    const TokenId result = merges_.at(key_of(ids[out], ids[out + 1])).result;
    bool joining = true;
    for (std::size_t i = out; i < ids.size(); ++out) {
      const bool here = joining && ranks[i] == lowest;
      ids[out] = here ? result : ids[i];
      ranks[out] = ranks[here ? i + 1 : i];
      i += here ? 2 : 1;
      if (here) joining = in_order_;
    }
    ids.resize(out);
    ranks.resize(out);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] != result) continue;
      if (i > 0) ranks[i - 1] = rank_of(ids[i - 1], ids[i]);
      ranks[i] = i + 1 < ids.size() ? rank_of(ids[i], ids[i + 1]) : kNoRank;
    }
  }
  return ids;
}

}  // namespace plumbline::reference
