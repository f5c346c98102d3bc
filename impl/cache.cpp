#include "impl/cache.h"

#include <utility>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/half.h"

namespace plumbline::native {
namespace {

std::byte* bytes_of(Tensor& tensor) {
  return tensor.values<std::byte>().data();
}

}  // namespace

NativeCache::NativeCache(const CacheSpec& spec, const CacheShape& shape, std::uint64_t engine,
                         std::shared_ptr<CacheMemory> memory)
    : spec_(spec),
      shape_(shape),
      engine_(engine),
      memory_(std::move(memory)),
      lengths_(static_cast<std::size_t>(spec.max_sequences)) {}

void NativeCache::check_sequence(SequenceId sequence) const {
  if (sequence < 0 || sequence >= spec_.max_sequences) {
    throw Error(fmt::format("has no sequence {}", sequence), "native cache",
                fmt::format("0 to {}", spec_.max_sequences - 1));
  }
}

void NativeCache::check_layer(int layer) const {
  if (layer < 0 || layer >= shape_.layers) throw Error(fmt::format("has no layer {}", layer), "native cache");
}

std::int64_t NativeCache::length(SequenceId sequence) const {
  check_sequence(sequence);
  return lengths_[static_cast<std::size_t>(sequence)];
}

Tensor NativeCache::read(const Runs& runs, CachePart part) const {
  std::int64_t length = 0;
  for (const StoredRun& run : runs) length += run.tokens;
  Tensor rows(spec_.dtype, {length, shape_.kv_heads, shape_.head_dim});
  std::byte* at = bytes_of(rows);
  for (const StoredRun& run : runs) {
    memory_->read_run(format(), run, part, at);
    at += static_cast<std::size_t>(run.tokens * shape_.row()) * dtype_size(spec_.dtype);
  }
  return rows;
}

Tensor NativeCache::read_key(int layer, SequenceId sequence) const {
  check_sequence(sequence);
  check_layer(layer);
  require(!open_, "cache read during a forward pass");
  return read(runs(layer, sequence, false), CachePart::key);
}

Tensor NativeCache::read_value(int layer, SequenceId sequence) const {
  check_sequence(sequence);
  check_layer(layer);
  require(!open_, "cache read during a forward pass");
  return read(runs(layer, sequence, false), CachePart::value);
}

CacheSlice NativeCache::slice(const Runs& runs) {
  CacheSlice slice;
  for (const StoredRun& run : runs) slice.length += run.tokens;
  if (spec_.dtype == DType::f32 && memory_->on_host()) {
    for (const StoredRun& run : runs) {
      slice.runs.add({reinterpret_cast<const float*>(run.keys), reinterpret_cast<const float*>(run.values),
                      run.tokens, run.token_stride, run.head_stride});
    }
    return slice;
  }
  for (const CachePart part : {CachePart::key, CachePart::value}) {
    std::vector<float>& wide = wide_[static_cast<std::size_t>(part)];
    wide.resize(static_cast<std::size_t>(slice.length * shape_.row()));
    float* to = wide.data();
    for (const StoredRun& run : runs) {
      const std::int64_t count = run.tokens * shape_.row();
      narrow_.resize(static_cast<std::size_t>(count) * dtype_size(spec_.dtype));
      memory_->read_run(format(), run, part, narrow_.data());
      widen(spec_.dtype, narrow_.data(), count, to);
      to += count;
    }
  }
  slice.runs.add({wide_[0].data(), wide_[1].data(), slice.length, shape_.row(), shape_.head_dim});
  return slice;
}

CacheSlice NativeCache::view(int layer, SequenceId sequence) {
  check_sequence(sequence);
  check_layer(layer);
  require(!open_, "cache viewed during a forward pass");
  return slice(runs(layer, sequence, false));
}

void NativeCache::crop(SequenceId sequence, std::int64_t wanted) {
  const std::int64_t held = length(sequence);
  require(!open_, "cache changed during a forward pass");
  if (wanted < 0 || wanted > held) {
    throw Error(fmt::format("cannot be cropped to {} tokens: it holds {}", wanted, held), "native cache");
  }
  if (wanted == held) return;
  forget(sequence, wanted, held);
  length_of(sequence) = wanted;
}

void NativeCache::evict(SequenceId sequence, std::int64_t begin, std::int64_t end) {
  const std::int64_t held = length(sequence);
  require(!open_, "cache changed during a forward pass");
  if (shape_.slides) {
    throw Error("cannot forget tokens in the middle", "native cache",
                "the model has sliding windows, which count the tokens held");
  }
  if (begin < 0 || begin > end || end > held) {
    throw Error(fmt::format("cannot forget tokens {} to {}: it holds {}", begin, end, held), "native cache");
  }
  if (begin == end) return;
  forget(sequence, begin, end);
  length_of(sequence) = held - (end - begin);
}

void NativeCache::fork(SequenceId from, SequenceId to) {
  const std::int64_t held = length(from);
  check_sequence(to);
  require(!open_, "cache changed during a forward pass");
  if (from == to) return;
  copy(from, to);
  length_of(to) = held;
}

}  // namespace plumbline::native
