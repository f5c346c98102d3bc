#include "impl/tokenization/merge_table.h"

#include <algorithm>
#include <bit>

namespace plumbline::native {
namespace {

constexpr std::size_t kSlots = 2;  // a merge, at least
constexpr std::size_t kFilterBits =
    4;  // a slot: of pairs that never merge one in eight or fewer is let through

}  // namespace

MergeTable::MergeTable(const std::vector<Entry>& merges)
    : slots_(std::bit_ceil(std::max<std::size_t>(kSlots * merges.size(), 16))),
      filter_(slots_.size() * kFilterBits / 64) {
  shift_ = 64 - static_cast<unsigned>(std::countr_zero(slots_.size()));
  filter_shift_ = shift_ - static_cast<unsigned>(std::countr_zero(kFilterBits));
  std::int32_t rank = 0;
  for (const Entry& entry : merges) {
    const std::uint64_t key = key_of(entry.left, entry.right);
    const std::uint64_t bit = hash(key) >> filter_shift_;
    filter_[bit / 64] |= std::uint64_t{1} << (bit % 64);
    std::size_t at = hash(key) >> shift_;
    while (slots_[at].key != kFree && slots_[at].key != key) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = {key, {rank++, entry.merged}};
  }
}

}  // namespace plumbline::native
