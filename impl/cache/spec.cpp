// Which caches can be made.
#include <new>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/cache/concat.h"
#include "impl/cache/fixed.h"

namespace plumbline::native {
namespace {

constexpr std::int64_t kMaxSequences = 1 << 16;

[[noreturn]] void refuse(std::string_view what, std::string_view hint = {}) {
  throw Error(what, "native cache", hint);
}

// Bytes of `capacity` tokens of every sequence; in f64, since it may be beyond 64 bits.
double bytes_needed(const CacheSpec& spec, const CacheShape& shape) {
  return 2.0 * static_cast<double>(dtype_size(spec.dtype)) * shape.layers * static_cast<double>(shape.row()) *
         static_cast<double>(spec.max_sequences) * static_cast<double>(spec.capacity);
}

void check_form(const CacheSpec& spec) {
  if (spec.dtype != DType::f32 && spec.dtype != DType::bf16 && spec.dtype != DType::f16) {
    refuse(fmt::format("does not store {}", dtype_name(spec.dtype)), "f32, bf16 or f16");
  }
  if (spec.kind > CacheKind::fixed || spec.layout > CacheLayout::sequence_flat ||
      spec.packing > CachePacking::concatenated || spec.when_full > WhenFull::ring) {
    refuse(fmt::format("kind {}, layout {}, packing {}, when_full {} is not there",
                       static_cast<int>(spec.kind), static_cast<int>(spec.layout),
                       static_cast<int>(spec.packing), static_cast<int>(spec.when_full)));
  }
}

void check_room(const CacheSpec& spec, const CacheShape& shape) {
  if (spec.max_sequences < 1 || spec.max_sequences > kMaxSequences) {
    refuse(fmt::format("max_sequences is {}", spec.max_sequences),
           fmt::format("between 1 and {}", kMaxSequences));
  }
  const bool fixed = spec.kind == CacheKind::fixed;
  if (spec.capacity < 0 || (fixed && spec.capacity == 0)) {
    refuse(fmt::format("capacity is {}", spec.capacity), "a fixed cache needs a positive number of tokens");
  }
  if (spec.prefill_capacity < 0 || (spec.prefill_capacity > 0 && !fixed)) {
    refuse(fmt::format("prefill_capacity is {}", spec.prefill_capacity),
           "some of a fixed cache's slots; 0 for one that grows");
  }
  if (fixed && spec.prefill_capacity >= spec.capacity) {
    refuse(fmt::format("prefill_capacity {} leaves no slot of {} for other tokens", spec.prefill_capacity,
                       spec.capacity));
  }
  if (spec.when_full != WhenFull::ring) return;
  if (!fixed) refuse("when_full is ring, but it grows", "a ring has a fixed capacity");
  if (shape.slides) {
    refuse(
        "when_full is ring, but the model has sliding windows, which count "
        "the tokens held",
        "when_full: error");
  }
}

void check_memory(const CacheSpec& spec, const CacheShape& shape, const CacheMemory& memory) {
  if (spec.kind != CacheKind::fixed) return;
  const double needed = bytes_needed(spec, shape);
  const MemoryLimit limit = memory.limit();
  const bool fits = needed <= limit.bytes;
  if (!fits) {
    refuse(fmt::format("a capacity of {} tokens needs {:.0f} bytes, {}", spec.capacity, needed, limit.text));
  }
}

}  // namespace

std::unique_ptr<NativeCache> make_native_cache(const CacheSpec& spec, const CacheShape& shape,
                                               std::uint64_t engine, std::shared_ptr<CacheMemory> memory) {
  check_form(spec);
  check_room(spec, shape);
  check_memory(spec, shape, *memory);
  try {
    if (spec.kind == CacheKind::fixed) return std::make_unique<FixedCache>(spec, shape, engine, memory);
    return std::make_unique<ConcatCache>(spec, shape, engine, memory);
  } catch (const std::bad_alloc&) {
    refuse(fmt::format("there is no memory for a capacity of {} tokens: {:.0f} bytes", spec.capacity,
                       bytes_needed(spec, shape)));
  }
}

}  // namespace plumbline::native
