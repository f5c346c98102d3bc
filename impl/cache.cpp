#include "impl/cache.h"

#include <unistd.h>

#include <cstring>
#include <new>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/cache_storage.h"

namespace plumbline::native {
namespace {

constexpr std::int64_t kMaxSequences = 1 << 16;

double bytes_needed(const CacheSpec& spec, const CacheShape& shape) {
  return 2.0 * sizeof(float) * shape.layers * static_cast<double>(shape.row()) *
         static_cast<double>(spec.max_sequences) * static_cast<double>(spec.capacity);
}

void check_spec(const CacheSpec& spec, const CacheShape& shape) {
  if (spec.dtype != DType::f32) {
    throw Error(fmt::format("does not store {}", dtype_name(spec.dtype)), "native cache", "f32 is there");
  }
  if (spec.max_sequences < 1 || spec.max_sequences > kMaxSequences) {
    throw Error(fmt::format("max_sequences is {}", spec.max_sequences), "native cache",
                fmt::format("between 1 and {}", kMaxSequences));
  }
  if (spec.capacity < 0 || (spec.kind == CacheKind::fixed && spec.capacity == 0)) {
    throw Error(fmt::format("capacity is {}", spec.capacity), "native cache",
                "a fixed cache needs a positive number of tokens");
  }
  const double memory =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  const double needed = spec.kind == CacheKind::fixed ? bytes_needed(spec, shape) : 0.0;
  const bool fits = needed <= memory;
  if (!fits) {
    throw Error(fmt::format("a capacity of {} tokens needs {:.0f} bytes, this machine has {:.0f}",
                            spec.capacity, needed, memory),
                "native cache");
  }
}

}  // namespace

NativeCache::NativeCache(const CacheSpec& spec, const CacheShape& shape, std::uint64_t engine)
    : spec_(spec), shape_(shape), engine_(engine), lengths_(static_cast<std::size_t>(spec.max_sequences)) {}

void NativeCache::check_sequence(SequenceId sequence) const {
  if (sequence < 0 || sequence >= spec_.max_sequences) {
    throw Error(fmt::format("has no sequence {}", sequence), "native cache",
                fmt::format("0 to {}", spec_.max_sequences - 1));
  }
}

std::int64_t NativeCache::length(SequenceId sequence) const {
  check_sequence(sequence);
  return lengths_[static_cast<std::size_t>(sequence)];
}

Tensor NativeCache::read(int layer, SequenceId sequence, bool key) const {
  const std::int64_t held = length(sequence);
  if (layer < 0 || layer >= shape_.layers) throw Error(fmt::format("has no layer {}", layer), "native cache");
  Tensor copy(DType::f32, {held, shape_.kv_heads, shape_.head_dim});
  const CacheSlice slice = committed(layer, sequence);
  if (held > 0) {
    std::memcpy(copy.values<float>().data(), key ? slice.keys : slice.values, copy.bytes().size());
  }
  return copy;
}

Tensor NativeCache::read_key(int layer, SequenceId sequence) const {
  return read(layer, sequence, true);
}

Tensor NativeCache::read_value(int layer, SequenceId sequence) const {
  return read(layer, sequence, false);
}

void NativeCache::crop(SequenceId sequence, std::int64_t wanted) {
  const std::int64_t held = length(sequence);
  require(!open_, "cache changed during a forward pass");
  if (wanted < 0 || wanted > held) {
    throw Error(fmt::format("cannot be cropped to {} tokens: it holds {}", wanted, held), "native cache");
  }
  resize(sequence, wanted);
  lengths_[static_cast<std::size_t>(sequence)] = wanted;
}

void NativeCache::fork(SequenceId from, SequenceId to) {
  const std::int64_t held = length(from);
  check_sequence(to);
  require(!open_, "cache changed during a forward pass");
  if (from == to) return;
  copy(from, to);
  lengths_[static_cast<std::size_t>(to)] = held;
}

void NativeCache::begin(std::span<const CacheGrowth> growth) {
  require(!open_, "two forward passes over one cache at once");
  for (const CacheGrowth& each : growth) {
    const std::int64_t held = length(each.sequence);
    if (spec_.capacity > 0 && each.tokens > spec_.capacity - held) {
      throw Error(fmt::format("is full: sequence {} holds {} of {} tokens and needs room for {} more",
                              each.sequence, held, spec_.capacity, each.tokens),
                  "native cache");
    }
  }
  growth_.assign(growth.begin(), growth.end());
  open_ = true;
}

std::int64_t NativeCache::growth_of(SequenceId sequence) const {
  for (const CacheGrowth& each : growth_) {
    if (each.sequence == sequence) return each.tokens;
  }
  throw InternalError("cache: append to a sequence that does not grow");
}

void NativeCache::commit() {
  require(open_, "cache: commit without begin");
  publish();
  for (const CacheGrowth& each : growth_) lengths_[static_cast<std::size_t>(each.sequence)] += each.tokens;
  open_ = false;
}

void NativeCache::rollback() {
  discard();
  open_ = false;
}

std::unique_ptr<NativeCache> make_native_cache(const CacheSpec& spec, const CacheShape& shape,
                                               std::uint64_t engine) {
  check_spec(spec, shape);
  try {
    if (spec.kind == CacheKind::fixed) return std::make_unique<FixedCache>(spec, shape, engine);
    return std::make_unique<ConcatCache>(spec, shape, engine);
  } catch (const std::bad_alloc&) {
    throw Error(fmt::format("there is no memory for a capacity of {} tokens", spec.capacity), "native cache");
  }
}

CacheSlice fixed_cache_slots(Cache& cache, int layer, SequenceId sequence) {
  auto* fixed = dynamic_cast<FixedCache*>(&cache);
  require(fixed != nullptr, "fixed_cache_slots: not a fixed native cache");
  return fixed->slots(layer, sequence);
}

}  // namespace plumbline::native
