#include "impl/tokenization/piece_table.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace plumbline::native {
namespace {

constexpr std::uint64_t kMultiplier = 0x9E3779B97F4A7C15;  // 2^64 over the golden ratio, odd

template <typename Word>
std::uint64_t load(const char* bytes) {
  Word word = 0;
  std::memcpy(&word, bytes, sizeof(word));
  return word;
}

// One to eight bytes as a number; together with the length, no two texts have the same.
std::uint64_t packed(std::string_view text) {
  const char* bytes = text.data();
  const std::size_t n = text.size();
  if (n >= 4) return load<std::uint32_t>(bytes) | load<std::uint32_t>(bytes + n - 4) << (8 * (n - 4));
  const auto at = [&](std::size_t i) {
    return std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  };
  return at(0) | at(n / 2) | at(n - 1);
}

std::uint64_t short_hash(std::uint64_t bytes, std::size_t length) {
  return (bytes + length) * kMultiplier;
}

// Eight bytes at a time; the last eight may overlap. At least eight.
std::uint64_t long_hash(std::string_view text) {
  std::uint64_t hash = text.size();
  const auto mix = [&](const char* bytes) {
    hash = (hash ^ load<std::uint64_t>(bytes)) * kMultiplier;
    hash ^= hash >> 32;
  };
  const char* last = text.data() + text.size() - sizeof(std::uint64_t);
  for (const char* bytes = text.data(); bytes < last; bytes += sizeof(std::uint64_t)) mix(bytes);
  mix(last);
  return hash;
}

std::size_t table_size(std::size_t entries) {
  return std::bit_ceil(std::max<std::size_t>(2 * entries, 2));
}

}  // namespace

PieceTable::PieceTable(const Vocabulary& vocabulary, const std::vector<TokenId>& ids)
    : vocabulary_(&vocabulary) {
  const auto shorts = static_cast<std::size_t>(std::count_if(
      ids.begin(), ids.end(), [&](TokenId id) { return vocabulary.bytes(id).size() <= kShort; }));
  short_ = HugeArray<Short>(table_size(shorts));
  long_ = HugeArray<Long>(table_size(ids.size() - shorts));
  short_shift_ = 64 - static_cast<unsigned>(std::countr_zero(short_.size()));
  for (const TokenId id : ids) add(id);
}

void PieceTable::add(TokenId id) {
  const std::string_view piece = vocabulary_->bytes(id);
  if (piece.size() <= kShort) {
    const std::uint64_t bytes = packed(piece);
    std::size_t at = short_hash(bytes, piece.size()) >> short_shift_;
    while (short_[at].length != 0) at = (at + 1) & (short_.size() - 1);
    short_[at] = {bytes, static_cast<std::uint32_t>(piece.size()), id};
    return;
  }
  const auto hash = static_cast<std::uint32_t>(long_hash(piece));
  std::size_t at = hash & (long_.size() - 1);
  while (long_[at].id != kNoToken) at = (at + 1) & (long_.size() - 1);
  long_[at] = {hash, id};
}

TokenId PieceTable::find_short(std::string_view piece) const {
  if (piece.empty()) return kNoToken;
  const std::uint64_t bytes = packed(piece);
  for (std::size_t at = short_hash(bytes, piece.size()) >> short_shift_;;
       at = (at + 1) & (short_.size() - 1)) {
    const Short& entry = short_[at];
    if (entry.length == piece.size() && entry.bytes == bytes) return entry.id;
    if (entry.length == 0) return kNoToken;
  }
}

TokenId PieceTable::find_long(std::string_view piece) const {
  const auto hash = static_cast<std::uint32_t>(long_hash(piece));
  for (std::size_t at = hash & (long_.size() - 1);; at = (at + 1) & (long_.size() - 1)) {
    const Long& entry = long_[at];
    if (entry.id == kNoToken) return kNoToken;
    if (entry.hash == hash && vocabulary_->bytes(entry.id) == piece) return entry.id;
  }
}

}  // namespace plumbline::native
