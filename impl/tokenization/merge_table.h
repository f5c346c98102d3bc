// The merges of a byte-pair vocabulary: which two neighbouring tokens become one, and how early.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "harness/model.h"
#include "impl/tokenization/huge_array.h"

namespace plumbline::native {

struct Merge {
  static constexpr std::int32_t kNever = INT32_MAX;
  std::int32_t rank = kNever;  // the lowest is applied first
  TokenId merged = 0;
};

// Open addressing with linear probing, at most half full.
class MergeTable {
 public:
  struct Entry {
    TokenId left;
    TokenId right;
    TokenId merged;
  };
  // By rank. A pair given twice keeps the last, as in Hugging Face's tokenizers.
  explicit MergeTable(const std::vector<Entry>& merges = {});

  // Rank kNever for two tokens that do not merge.
  Merge find(TokenId left, TokenId right) const {
    const std::uint64_t key = key_of(left, right);
    const std::uint64_t place = hash(key);
    if (!may_have(place)) return {};
    for (std::size_t at = place >> shift_;; at = (at + 1) & (slots_.size() - 1)) {
      const Slot& slot = slots_[at];
      if (slot.key == key || slot.key == kFree) return slot.merge;
    }
  }

 private:
  static constexpr std::uint64_t kFree = ~std::uint64_t{0};  // ids are not negative
  struct Slot {
    std::uint64_t key = kFree;
    Merge merge;
  };
  static std::uint64_t key_of(TokenId left, TokenId right) {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
  }
  static std::uint64_t hash(std::uint64_t key) {
    key ^= key >> 29;
    return key * 0x9E3779B97F4A7C15;
  }

  bool may_have(std::uint64_t hash) const {
    const std::uint64_t bit = hash >> filter_shift_;
    return (filter_[bit / 64] >> (bit % 64) & 1) != 0;
  }

  HugeArray<Slot> slots_;  // a power of two
  unsigned shift_ = 0;     // a hash's leading bits are the place
  // A bit for each value of a hash's leading bits, set where a pair has it. Most pairs that are looked up
  // never merge, and the bits, unlike the slots, fit into a near cache.
  HugeArray<std::uint64_t> filter_;
  unsigned filter_shift_ = 0;
};

}  // namespace plumbline::native
