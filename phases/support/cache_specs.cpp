#include "phases/support/cache_specs.h"

#include <algorithm>

#include <fmt/format.h>

#include "harness/error.h"

namespace plumbline::phases {
namespace {

constexpr CacheLayout kLayouts[] = {CacheLayout::sequence_heads, CacheLayout::heads_sequence,
                                    CacheLayout::sequence_flat};
constexpr CachePacking kPackings[] = {CachePacking::separate, CachePacking::interleaved,
                                      CachePacking::concatenated};

CacheSpec spec_of(CacheKind kind, std::int64_t sequences, std::int64_t capacity) {
  CacheSpec spec;
  spec.kind = kind;
  spec.max_sequences = sequences;
  spec.capacity = kind == CacheKind::fixed ? capacity : 0;
  return spec;
}

}  // namespace

std::string layout_name(CacheLayout layout) {
  switch (layout) {
    case CacheLayout::sequence_heads:
      return "sequence x heads";
    case CacheLayout::heads_sequence:
      return "heads x sequence";
    case CacheLayout::sequence_flat:
      return "sequence, flat";
  }
  throw InternalError("layout_name: no such layout");
}

std::string packing_name(CachePacking packing) {
  switch (packing) {
    case CachePacking::separate:
      return "separate";
    case CachePacking::interleaved:
      return "interleaved";
    case CachePacking::concatenated:
      return "concatenated";
  }
  throw InternalError("packing_name: no such packing");
}

std::string cache_name(const CacheSpec& spec) {
  std::string name = fmt::format("{}, {}, {}", spec.kind == CacheKind::fixed ? "fixed" : "growing",
                                 layout_name(spec.layout), packing_name(spec.packing));
  if (spec.prefill_capacity > 0) name += ", prefill apart";
  if (spec.when_full == WhenFull::ring) name += ", ring";
  if (spec.dtype != DType::f32) name += fmt::format(", {}", dtype_name(spec.dtype));
  return name;
}

std::vector<CacheSpec> cache_specs(std::int64_t sequences, std::int64_t capacity, std::int64_t prefill) {
  std::vector<CacheSpec> specs;
  for (const CacheKind kind : {CacheKind::concat, CacheKind::fixed}) {
    for (const CacheLayout layout : kLayouts) {
      for (const CachePacking packing : kPackings) {
        CacheSpec spec = spec_of(kind, sequences, capacity);
        spec.layout = layout;
        spec.packing = packing;
        specs.push_back(spec);
        if (kind == CacheKind::concat || prefill == 0) continue;
        spec.prefill_capacity = prefill;
        spec.capacity = capacity + prefill;
        specs.push_back(spec);
      }
    }
  }
  return specs;
}

std::vector<CacheSpec> few_cache_specs(std::int64_t sequences, std::int64_t capacity, std::int64_t prefill) {
  std::vector<CacheSpec> specs{spec_of(CacheKind::concat, sequences, capacity)};
  for (std::size_t i = 0; i < std::size(kLayouts); ++i) {
    CacheSpec spec = spec_of(CacheKind::fixed, sequences, capacity);
    spec.layout = kLayouts[i];
    spec.packing = kPackings[i];
    spec.prefill_capacity = i == 0 ? 0 : prefill;
    spec.capacity += spec.prefill_capacity;
    specs.push_back(spec);
  }
  return specs;
}

std::unique_ptr<Cache> Refusals::make(const Engine& engine, const CacheSpec& spec) {
  try {
    return engine.make_cache(spec);
  } catch (const Error& refusal) {
    reasons_.emplace(cache_name(spec), refusal.what());
    return nullptr;
  }
}

}  // namespace plumbline::phases
