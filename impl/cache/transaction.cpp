// What a forward pass does to a cache; see impl/cache.h.
#include <utility>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/cache.h"
#include "impl/half.h"

namespace plumbline::native {

std::int64_t NativeCache::past_of(SequenceId sequence, std::int64_t tokens) const {
  const std::int64_t held = length(sequence);
  require(tokens > 0, "cache: a step without tokens");
  return held - forgotten(sequence, tokens);
}

void NativeCache::begin(std::span<const CacheGrowth> growth) {
  require(!open_, "two forward passes over one cache at once");
  for (const CacheGrowth& each : growth) past_of(each.sequence, each.tokens);
  growth_.assign(growth.begin(), growth.end());
  open(growth_);
  open_ = true;
}

std::int64_t NativeCache::growth_of(SequenceId sequence) const {
  for (const CacheGrowth& each : growth_) {
    if (each.sequence == sequence) return each.tokens;
  }
  throw InternalError("cache: append to a sequence that does not grow");
}

const std::byte* NativeCache::stored(const float* rows, std::int64_t count) {
  if (spec_.dtype == DType::f32) return reinterpret_cast<const std::byte*>(rows);
  narrow_.resize(static_cast<std::size_t>(count) * dtype_size(spec_.dtype));
  narrow(spec_.dtype, rows, count, narrow_.data());
  return narrow_.data();
}

CacheSlice NativeCache::append(int layer, SequenceId sequence, const float* keys, const float* values) {
  write(layer, sequence, keys, values);
  return pending(layer, sequence);
}

void NativeCache::write(int layer, SequenceId sequence, const float* keys, const float* values) {
  require(open_, "cache: append without begin");
  const Runs to = room(layer, sequence);
  for (const auto& [part, rows] : {std::pair(CachePart::key, keys), std::pair(CachePart::value, values)}) {
    const float* from = rows;
    for (const StoredRun& run : to) {
      const std::int64_t count = run.tokens * shape_.row();
      memory_->write_run(format(), run, part, stored(from, count));
      from += count;
    }
  }
}

CacheSlice NativeCache::pending(int layer, SequenceId sequence) {
  require(open_, "cache: no forward pass");
  return slice(runs(layer, sequence, true));
}

RunList<StoredRun> NativeCache::pending_room(int layer, SequenceId sequence) {
  require(open_, "cache: no forward pass");
  return room(layer, sequence);
}

RunList<StoredRun> NativeCache::pending_runs(int layer, SequenceId sequence) const {
  require(open_, "cache: no forward pass");
  return runs(layer, sequence, true);
}

Tensor NativeCache::read_pending(int layer, SequenceId sequence, CachePart part) const {
  require(open_, "cache: no forward pass");
  return read(runs(layer, sequence, true), part);
}

void NativeCache::replace_pending(int layer, SequenceId sequence, CachePart part, const Tensor& rows) {
  require(open_ && rows.dtype() == spec_.dtype, "cache: replaced by another dtype");
  preserve(layer, sequence);
  const std::byte* from = rows.bytes().data();
  for (const StoredRun& run : runs(layer, sequence, true)) {
    memory_->write_run(format(), run, part, from);
    from += static_cast<std::size_t>(run.tokens * shape_.row()) * dtype_size(spec_.dtype);
  }
}

void NativeCache::commit() {
  require(open_, "cache: commit without begin");
  for (const CacheGrowth& each : growth_) {
    length_of(each.sequence) = past_of(each.sequence, each.tokens) + each.tokens;
  }
  publish();
  open_ = false;
}

void NativeCache::rollback() {
  open_ = false;
  discard();
}

void NativeCache::write_prefill(SequenceId sequence, std::span<const float> keys,
                                std::span<const float> values) {
  if (length(sequence) != 0) {
    throw Error(fmt::format("sequence {} holds {} tokens already", sequence, length(sequence)),
                "native cache", "a prefill is written to an empty one");
  }
  update(sequence, keys, values);
}

void NativeCache::update(SequenceId sequence, std::span<const float> keys, std::span<const float> values) {
  const std::int64_t token = shape_.layers * shape_.row();
  const auto count = static_cast<std::int64_t>(keys.size());
  if (count == 0 || count % token != 0 || values.size() != keys.size()) {
    throw Error(fmt::format("cannot take {} keys and {} values: a token has {}", count, values.size(), token),
                "native cache");
  }
  const CacheGrowth growth{sequence, count / token};
  CacheTransaction transaction(*this, {&growth, 1});
  for (int layer = 0; layer < shape_.layers; ++layer) {
    const std::int64_t offset = layer * growth.tokens * shape_.row();
    write(layer, sequence, keys.data() + offset, values.data() + offset);
  }
  transaction.commit();
}

}  // namespace plumbline::native
