// The tables behind impl/unicode.h; their contents are generated (tools/generate_unicode_tables.py).
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <span>
#include <string_view>

#include "impl/unicode.h"

namespace plumbline::native {

struct ClassRange {  // inclusive; sorted; code points in none are CharClass::other
  char32_t first;
  char32_t last;
  CharClass value;
};
struct CombiningRange {  // inclusive; sorted; code points in none have canonical combining class 0
  char32_t first;
  char32_t last;
  std::uint8_t value;
};
struct Decomposition {  // canonical, one step; sorted by code point; `second` is 0 for singletons
  char32_t code_point;
  char32_t first;
  char32_t second;
};
struct Composition {  // sorted by (first, second)
  char32_t first;
  char32_t second;
  char32_t composite;
};

extern const std::string_view kUnicodeVersion;
extern const std::span<const ClassRange> kClassRanges;
extern const std::span<const CombiningRange> kCombiningRanges;
extern const std::span<const Decomposition> kDecompositions;
extern const std::span<const Composition> kCompositions;

// The range that holds a code point, or null.
template <typename Range>
const Range* find_range(std::span<const Range> ranges, char32_t code_point) {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), code_point,
                                      [](char32_t c, const Range& range) { return c < range.first; });
  if (after == ranges.begin()) return nullptr;
  const Range& candidate = *std::prev(after);
  return code_point <= candidate.last ? &candidate : nullptr;
}

}  // namespace plumbline::native
