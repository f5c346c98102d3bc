#include "impl/tokenization/merge_table.h"

#include <algorithm>
#include <bit>

namespace plumbline::native {

MergeTable::MergeTable(const std::vector<Entry>& merges)
    : slots_(std::bit_ceil(std::max<std::size_t>(2 * merges.size(), 2))) {
  shift_ = 64 - static_cast<unsigned>(std::countr_zero(slots_.size()));
  std::int32_t rank = 0;
  for (const Entry& entry : merges) {
    const std::uint64_t key = key_of(entry.left, entry.right);
    std::size_t at = hash(key) >> shift_;
    while (slots_[at].key != kFree && slots_[at].key != key) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = {key, {rank++, entry.merged}};
  }
}

}  // namespace plumbline::native
