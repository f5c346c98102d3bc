#include "tests/mutants/cache.h"

#include <algorithm>

namespace plumbline::mutants {
namespace {

// What free places hold.
std::vector<float> free_places(std::size_t count, const Format& format) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = 0.5f + 0.01f * static_cast<float>(i * 37 % 101);
  format.store(values);
  return values;
}

std::size_t size(int n) {
  return static_cast<std::size_t>(n);
}

}  // namespace

KeyValueCache::KeyValueCache(const Architecture& a, int slots, int capacity, Mistake planted,
                             const Format& format)
    : kv_heads_(a.kv_heads),
      head_dim_(a.head_dim),
      capacity_(capacity),
      planted_(planted),
      format_(format),
      lengths_(size(slots)),
      keys_(size(a.layers), free_places(size(slots * capacity * kv_heads_ * head_dim_), format)),
      values_(keys_) {
  for (int slot = 0; slot < slots; ++slot) buffer_of_.push_back(slot);
}

std::size_t KeyValueCache::offset(int slot, int index) const {
  const int row = planted_ == Mistake::wraps_when_full ? index % capacity_ : index;
  return size((buffer_of_[size(slot)] * capacity_ + row) * kv_heads_ * head_dim_);
}

std::size_t KeyValueCache::write_offset(int slot, int index) const {
  const int buffer = buffer_of_[size(slot)];
  if (planted_ == Mistake::stride_of_one_head) {
    return size((buffer * capacity_ * kv_heads_ + index) * head_dim_);
  }
  if (planted_ == Mistake::stride_of_batch && buffer > 0) {
    return offset(slot, index) - size(kv_heads_ * head_dim_);
  }
  const bool decoding = lengths_[size(slot)] > 0;
  if (planted_ == Mistake::write_index_off && decoding) return offset(slot, index - 1);
  return offset(slot, index);
}

float* KeyValueCache::place(Areas& areas, int layer, int slot, int index) {
  return areas[size(layer)].data() + offset(slot, index);
}

void KeyValueCache::write(Areas& areas, int layer, int slot, int first, const Rows& rows) {
  for (int i = 0; i < rows.rows; ++i) {
    float* to = areas[size(layer)].data() + write_offset(slot, first + i);
    std::copy_n(rows.row(i), rows.columns, to);
    if (planted_ != Mistake::cache_in_bf16) continue;
    for (int k = 0; k < rows.columns; ++k) to[k] = to_bf16(to[k]);
  }
}

void KeyValueCache::append(int layer, int slot, const Rows& keys, const Rows& values) {
  const int past = length(slot);
  reserve(past + keys.rows);
  if (planted_ == Mistake::oldest_evicted && past > 0) {
    const std::size_t kept = size((past - 1) * kv_heads_ * head_dim_);
    std::copy_n(key(layer, slot, 1), kept, key(layer, slot, 0));
    std::copy_n(value(layer, slot, 1), kept, value(layer, slot, 0));
  }
  const bool other = planted_ == Mistake::cache_of_other_layer && layer > 0;
  const bool swapped = planted_ == Mistake::keys_and_values_swapped;
  write(swapped ? values_ : keys_, other ? layer - 1 : layer, slot, past, keys);
  write(swapped ? keys_ : values_, layer, slot, past, values);
}

void KeyValueCache::commit(int slot, int count) {
  lengths_[size(slot)] += count;
}

void KeyValueCache::fork(int from, int to) {
  lengths_[size(to)] = length(from);
  if (planted_ == Mistake::prefix_shared) {
    buffer_of_[size(to)] = buffer_of_[size(from)];
    return;
  }
  const std::size_t count = size(length(from) * kv_heads_ * head_dim_);
  for (int layer = 0; layer < static_cast<int>(keys_.size()); ++layer) {
    std::copy_n(key(layer, from, 0), count, key(layer, to, 0));
    std::copy_n(value(layer, from, 0), count, value(layer, to, 0));
    // The last place of the prefix is handed on instead of copied.
    if (planted_ == Mistake::prefix_changed) *key(layer, from, length(from) - 1) = 0;
  }
}

void KeyValueCache::reset(int slot) {
  if (planted_ == Mistake::length_kept_after_reset) return;
  lengths_[size(slot)] = 0;
}

void KeyValueCache::reserve(int length) {
  if (length <= capacity_ || planted_ == Mistake::wraps_when_full) return;
  const int row = kv_heads_ * head_dim_, wider = std::max(length, 2 * capacity_);
  for (Areas* areas : {&keys_, &values_}) {
    for (std::vector<float>& area : *areas) {
      std::vector<float> larger = free_places(lengths_.size() * size(wider * row), format_);
      for (int buffer = 0; buffer < static_cast<int>(lengths_.size()); ++buffer) {
        std::copy_n(area.data() + size(buffer * capacity_ * row), size(capacity_ * row),
                    larger.data() + size(buffer * wider * row));
      }
      area = std::move(larger);
    }
  }
  capacity_ = wider;
}

}  // namespace plumbline::mutants
