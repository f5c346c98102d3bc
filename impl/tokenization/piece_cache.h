// The tokens of pieces that came before: a text repeats its words, and merging them anew costs far more than
// a look.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "harness/model.h"

namespace plumbline::native {

// For one encoder and one thread. A place holds one piece, the last one: nothing is ever searched for long.
class PieceCache {
 public:
  PieceCache() : entries_(std::size_t{1} << kPlaceBits) {}

  // Empty for a piece that is not there. Valid until the next store().
  std::span<const TokenId> find(std::string_view piece) const {
    const Entry& entry = entries_[place_of(piece)];
    const bool same =
        entry.length == piece.size() && std::memcmp(entry.bytes.data(), piece.data(), piece.size()) == 0;
    return same ? std::span(entry.ids).first(entry.count) : std::span<const TokenId>();
  }

  // Pieces that are too long, or have too many tokens, are not kept.
  void store(std::string_view piece, std::span<const TokenId> ids) {
    if (piece.empty() || piece.size() > kBytes || ids.size() > kIds) return;
    Entry& entry = entries_[place_of(piece)];
    entry.length = static_cast<std::uint8_t>(piece.size());
    entry.count = static_cast<std::uint8_t>(ids.size());
    std::memcpy(entry.bytes.data(), piece.data(), piece.size());
    std::memcpy(entry.ids.data(), ids.data(), ids.size_bytes());
  }

 private:
  static constexpr unsigned kPlaceBits = 12;  // 256 KiB: what a second-level cache holds beside the tables
  static constexpr std::size_t kBytes = 32;
  static constexpr std::size_t kIds = 7;
  struct Entry {  // a cache line
    std::array<char, kBytes> bytes;
    std::array<TokenId, kIds> ids;
    std::uint8_t length = 0;  // 0: free
    std::uint8_t count = 0;
  };

  // From the first and the last eight bytes, and the length.
  static std::size_t place_of(std::string_view piece) {
    const std::size_t n = std::min<std::size_t>(piece.size(), sizeof(std::uint64_t));
    std::uint64_t first = 0, last = 0;
    std::memcpy(&first, piece.data(), n);
    std::memcpy(&last, piece.data() + piece.size() - n, n);
    constexpr std::uint64_t kOdd = 0x9E3779B97F4A7C15;
    const std::uint64_t hash = (first * kOdd ^ (last + piece.size())) * kOdd;
    return hash >> (64 - kPlaceBits);
  }

  std::vector<Entry> entries_;
};

}  // namespace plumbline::native
