#include "impl/cache_storage.h"

#include <cstring>

#include "harness/error.h"

namespace plumbline::native {
namespace {

std::size_t size(std::int64_t count) {
  return static_cast<std::size_t>(count);
}

void copy_floats(float* to, const float* from, std::int64_t count) {
  if (count > 0) std::memcpy(to, from, size(count) * sizeof(float));
}

std::vector<float> concatenate(const std::vector<float>& old, const float* more, std::int64_t count) {
  std::vector<float> joined;
  joined.reserve(old.size() + size(count));
  joined.insert(joined.end(), old.begin(), old.end());
  joined.insert(joined.end(), more, more + count);
  return joined;
}

}  // namespace

ConcatCache::ConcatCache(const CacheSpec& spec, const CacheShape& shape, std::uint64_t engine)
    : NativeCache(spec, shape, engine) {}

CacheSlice ConcatCache::append(int layer, SequenceId sequence, const float* keys, const float* values) {
  const std::int64_t added = growth_of(sequence);
  const std::int64_t count = added * shape().row();
  const Entry& old = entries_[{sequence, layer}];
  Entry& grown = pending_[{sequence, layer}];
  grown.keys = concatenate(old.keys, keys, count);
  grown.values = concatenate(old.values, values, count);
  return {grown.keys.data(), grown.values.data(), length(sequence) + added};
}

void ConcatCache::publish() {
  for (auto& [place, entry] : pending_) entries_[place] = std::move(entry);
  pending_.clear();
}

CacheSlice ConcatCache::committed(int layer, SequenceId sequence) const {
  const auto found = entries_.find({sequence, layer});
  if (found == entries_.end()) return {};
  // Slices are writable, and this one is only read.
  const Entry& entry = found->second;
  return {const_cast<float*>(entry.keys.data()), const_cast<float*>(entry.values.data()), length(sequence)};
}

void ConcatCache::resize(SequenceId sequence, std::int64_t wanted) {
  for (auto& [place, entry] : entries_) {
    if (place.first != sequence) continue;
    entry.keys.resize(size(wanted * shape().row()));
    entry.values.resize(size(wanted * shape().row()));
    entry.keys.shrink_to_fit();
    entry.values.shrink_to_fit();
  }
}

void ConcatCache::copy(SequenceId from, SequenceId to) {
  for (int layer = 0; layer < shape().layers; ++layer) {
    const Entry source = entries_[{from, layer}];
    entries_[{to, layer}] = source;
  }
}

std::int64_t ConcatCache::bytes() const {
  std::size_t floats = 0;
  for (const auto& [place, entry] : entries_) floats += entry.keys.capacity() + entry.values.capacity();
  return static_cast<std::int64_t>(floats * sizeof(float));
}

FixedCache::FixedCache(const CacheSpec& spec, const CacheShape& shape, std::uint64_t engine)
    : NativeCache(spec, shape, engine),
      keys_(size(shape.layers * spec.max_sequences * spec.capacity * shape.row())),
      values_(keys_.size()) {}

std::size_t FixedCache::offset(int layer, SequenceId sequence) const {
  return size((layer * spec().max_sequences + sequence) * spec().capacity * shape().row());
}

CacheSlice FixedCache::slots(int layer, SequenceId sequence) {
  require(layer >= 0 && layer < shape().layers && sequence >= 0 && sequence < spec().max_sequences,
          "fixed cache: no such slots");
  const std::size_t start = offset(layer, sequence);
  return {keys_.data() + start, values_.data() + start, spec().capacity};
}

CacheSlice FixedCache::append(int layer, SequenceId sequence, const float* keys, const float* values) {
  const std::int64_t past = length(sequence);
  const std::int64_t added = growth_of(sequence);
  CacheSlice slice = slots(layer, sequence);
  copy_floats(slice.keys + past * shape().row(), keys, added * shape().row());
  copy_floats(slice.values + past * shape().row(), values, added * shape().row());
  slice.length = past + added;
  return slice;
}

void FixedCache::preserve(int layer, SequenceId sequence) {
  for (const Saved& saved : saved_) {
    if (saved.layer == layer && saved.sequence == sequence)
      return;  // the first copy is the one to go back to
  }
  saved_.push_back({layer, sequence, read_key(layer, sequence), read_value(layer, sequence)});
}

void FixedCache::discard() {
  for (const Saved& saved : saved_) {
    const CacheSlice slice = slots(saved.layer, saved.sequence);
    copy_floats(slice.keys, saved.keys.values<float>().data(), saved.keys.elements());
    copy_floats(slice.values, saved.values.values<float>().data(), saved.values.elements());
  }
  saved_.clear();
}

CacheSlice FixedCache::committed(int layer, SequenceId sequence) const {
  const std::size_t start = offset(layer, sequence);
  // Slices are writable, and this one is only read.
  return {const_cast<float*>(keys_.data()) + start, const_cast<float*>(values_.data()) + start,
          length(sequence)};
}

void FixedCache::copy(SequenceId from, SequenceId to) {
  const std::int64_t count = length(from) * shape().row();
  for (int layer = 0; layer < shape().layers; ++layer) {
    copy_floats(slots(layer, to).keys, slots(layer, from).keys, count);
    copy_floats(slots(layer, to).values, slots(layer, from).values, count);
  }
}

std::int64_t FixedCache::bytes() const {
  return static_cast<std::int64_t>((keys_.capacity() + values_.capacity()) * sizeof(float));
}

}  // namespace plumbline::native
