// Normalisation form C (UAX #15): decompose, order the marks, compose.
#include <algorithm>
#include <iterator>
#include <utility>

#include "impl/unicode.h"
#include "impl/unicode_tables.h"

namespace plumbline::native {
namespace {

std::uint8_t combining_class(char32_t code_point) {
  const CombiningRange* range = find_range(kCombiningRanges, code_point);
  return range == nullptr ? std::uint8_t{0} : range->value;
}

// Hangul syllables compose by arithmetic (Unicode Standard, section 3.12).
constexpr char32_t kSyllableBase = 0xAC00;
constexpr char32_t kLeadBase = 0x1100;
constexpr char32_t kVowelBase = 0x1161;
constexpr char32_t kTrailBase = 0x11A7;
constexpr char32_t kLeads = 19;
constexpr char32_t kVowels = 21;
constexpr char32_t kTrails = 28;
constexpr char32_t kSyllables = kLeads * kVowels * kTrails;

void decompose(char32_t code_point, std::u32string& out) {
  if (code_point - kSyllableBase < kSyllables) {
    const char32_t index = code_point - kSyllableBase;
    out += kLeadBase + index / (kVowels * kTrails);
    out += kVowelBase + index % (kVowels * kTrails) / kTrails;
    if (index % kTrails != 0) out += kTrailBase + index % kTrails;
    return;
  }
  const auto found = std::lower_bound(kDecompositions.begin(), kDecompositions.end(), code_point,
                                      [](const Decomposition& d, char32_t c) { return d.code_point < c; });
  if (found == kDecompositions.end() || found->code_point != code_point) {
    out += code_point;
    return;
  }
  decompose(found->first, out);
  if (found->second != 0) decompose(found->second, out);
}

// 0 when the pair does not compose.
char32_t compose_pair(char32_t first, char32_t second) {
  if (first - kLeadBase < kLeads && second - kVowelBase < kVowels) {
    return kSyllableBase + ((first - kLeadBase) * kVowels + (second - kVowelBase)) * kTrails;
  }
  const char32_t syllable = first - kSyllableBase;
  if (syllable < kSyllables && syllable % kTrails == 0 && second - kTrailBase - 1 < kTrails - 1) {
    return first + (second - kTrailBase);
  }
  const auto found = std::lower_bound(kCompositions.begin(), kCompositions.end(), std::pair(first, second),
                                      [](const Composition& c, const std::pair<char32_t, char32_t>& key) {
                                        return std::pair(c.first, c.second) < key;
                                      });
  const bool hit = found != kCompositions.end() && found->first == first && found->second == second;
  return hit ? found->composite : U'\0';
}

// Canonical ordering: runs of marks sorted by combining class, stably.
void order_marks(std::u32string& text) {
  std::size_t begin = 0;
  while (begin < text.size()) {
    if (combining_class(text[begin]) == 0) {
      ++begin;
      continue;
    }
    std::size_t end = begin;
    while (end < text.size() && combining_class(text[end]) != 0) ++end;
    std::stable_sort(text.begin() + static_cast<std::ptrdiff_t>(begin),
                     text.begin() + static_cast<std::ptrdiff_t>(end),
                     [](char32_t a, char32_t b) { return combining_class(a) < combining_class(b); });
    begin = end;
  }
}

// Canonical composition: a character joins the last starter unless something of the same or a higher class
// stands between them.
std::u32string compose(const std::u32string& text) {
  std::u32string out;
  std::size_t starter = std::u32string::npos;
  int last_class = -1;  // of what stands between the starter and the next character; -1: nothing does
  for (const char32_t c : text) {
    const int own_class = combining_class(c);
    if (starter != std::u32string::npos && last_class < own_class) {
      const char32_t composite = compose_pair(out[starter], c);
      if (composite != U'\0') {
        out[starter] = composite;
        continue;
      }
    }
    if (own_class == 0) {
      starter = out.size();
      last_class = -1;
    } else {
      last_class = own_class;
    }
    out += c;
  }
  return out;
}

// Nothing below U+0300 changes under NFC; this is the usual case.
bool all_below_marks(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0xCC; });
}

}  // namespace

std::string nfc(std::string_view text) {
  if (all_below_marks(text)) return std::string(text);
  std::u32string decomposed;
  for (std::size_t offset = 0; offset < text.size();) decompose(next_code_point(text, offset), decomposed);
  order_marks(decomposed);
  std::string out;
  for (const char32_t c : compose(decomposed)) append_utf8(out, c);
  return out;
}

}  // namespace plumbline::native
