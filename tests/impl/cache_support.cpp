#include "tests/impl/cache_support.h"

#include <cstring>

#include <fmt/format.h>

#include "impl/half.h"

namespace plumbline::native::testing {
namespace {

// f32 values, widened from what `dtype` keeps of `rows`.
std::vector<float> kept(DType dtype, std::span<const float> rows, float sign) {
  std::vector<float> signed_rows(rows.begin(), rows.end());
  for (float& value : signed_rows) value *= sign;
  const auto count = static_cast<std::int64_t>(rows.size());
  std::vector<std::byte> stored(rows.size() * dtype_size(dtype));
  narrow(dtype, signed_rows.data(), count, stored.data());
  widen(dtype, stored.data(), count, signed_rows.data());
  return signed_rows;
}

bool equals(const Tensor& actual, std::span<const float> expected) {
  if (actual.elements() != static_cast<std::int64_t>(expected.size())) return false;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (element_as_f64(actual.view(), static_cast<std::int64_t>(i)) != static_cast<double>(expected[i])) {
      return false;
    }
  }
  return true;
}

bool view_equals(const CacheSlice& slice, const CacheShape& shape, CachePart part,
                 std::span<const float> expected) {
  std::size_t at = 0;
  for (const CacheRun& run : slice.runs) {
    const float* data = part == CachePart::key ? run.keys : run.values;
    for (std::int64_t token = 0; token < run.tokens; ++token) {
      for (std::int64_t head = 0; head < shape.kv_heads; ++head) {
        for (std::int64_t d = 0; d < shape.head_dim; ++d) {
          const float actual = data[token * run.token_stride + head * run.head_stride + d];
          if (at >= expected.size() || actual != expected[at++]) return false;
        }
      }
    }
  }
  return at == expected.size() && slice.length * shape.row() == static_cast<std::int64_t>(at);
}

}  // namespace

std::string form_name(const CacheSpec& spec) {
  constexpr const char* kLayouts[] = {"sequence_heads", "heads_sequence", "sequence_flat"};
  constexpr const char* kPackings[] = {"separate", "interleaved", "concatenated"};
  return fmt::format("{} {} {} {} capacity {}, prefill {}{}",
                     spec.kind == CacheKind::fixed ? "fixed" : "concat", dtype_name(spec.dtype),
                     kLayouts[static_cast<int>(spec.layout)], kPackings[static_cast<int>(spec.packing)],
                     spec.capacity, spec.prefill_capacity, spec.when_full == WhenFull::ring ? ", ring" : "");
}

std::vector<CacheSpec> all_forms(std::int64_t sequences, std::int64_t capacity, std::int64_t prefill,
                                 DType dtype) {
  std::vector<CacheSpec> forms;
  for (const CacheLayout layout :
       {CacheLayout::sequence_heads, CacheLayout::heads_sequence, CacheLayout::sequence_flat}) {
    for (const CachePacking packing :
         {CachePacking::separate, CachePacking::interleaved, CachePacking::concatenated}) {
      forms.push_back({CacheKind::concat, sequences, 0, dtype, layout, packing, 0, WhenFull::error});
      forms.push_back({CacheKind::fixed, sequences, capacity, dtype, layout, packing, 0, WhenFull::error});
      forms.push_back(
          {CacheKind::fixed, sequences, capacity, dtype, layout, packing, prefill, WhenFull::error});
    }
  }
  return forms;
}

std::vector<CacheSpec> all_rings(std::int64_t sequences, std::int64_t capacity, std::int64_t prefill,
                                 DType dtype) {
  std::vector<CacheSpec> rings;
  for (CacheSpec spec : all_forms(sequences, capacity, prefill, dtype)) {
    if (spec.kind != CacheKind::fixed) continue;
    spec.when_full = WhenFull::ring;
    rings.push_back(spec);
  }
  return rings;
}

std::vector<float> marked_keys(const CacheShape& shape, std::span<const int> tokens) {
  std::vector<float> keys;
  for (int layer = 0; layer < shape.layers; ++layer) {
    for (const int token : tokens) {
      for (std::int64_t head = 0; head < shape.kv_heads; ++head) {
        for (std::int64_t d = 0; d < shape.head_dim; ++d) {
          keys.push_back(static_cast<float>(1 + token * 8 + layer) +
                         static_cast<float>(head * shape.head_dim + d) / 64.0f);
        }
      }
    }
  }
  return keys;
}

void update_marked(NativeCache& cache, SequenceId sequence, std::span<const int> tokens) {
  const std::vector<float> keys = marked_keys(cache.shape(), tokens);
  std::vector<float> values = keys;
  for (float& value : values) value = -value;
  cache.update(sequence, keys, values);
}

bool holds(NativeCache& cache, SequenceId sequence, std::span<const int> tokens) {
  const CacheShape& shape = cache.shape();
  const std::vector<float> all = marked_keys(shape, tokens);
  const std::size_t layer_size = tokens.size() * static_cast<std::size_t>(shape.row());
  bool same = cache.length(sequence) == static_cast<std::int64_t>(tokens.size());
  for (int layer = 0; layer < shape.layers; ++layer) {
    const auto rows = std::span(all).subspan(static_cast<std::size_t>(layer) * layer_size, layer_size);
    const std::vector<float> keys = kept(cache.spec().dtype, rows, 1.0f);
    const std::vector<float> values = kept(cache.spec().dtype, rows, -1.0f);
    same = same && equals(cache.read_key(layer, sequence), keys) &&
           equals(cache.read_value(layer, sequence), values) &&
           view_equals(cache.view(layer, sequence), shape, CachePart::key, keys) &&
           view_equals(cache.view(layer, sequence), shape, CachePart::value, values);
  }
  return same;
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         (a.empty() || std::memcmp(a.bytes().data(), b.bytes().data(), a.bytes().size()) == 0);
}

}  // namespace plumbline::native::testing
