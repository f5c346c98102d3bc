// Normalisation form C (UAX #15). Only what the quick check doubts is decomposed, ordered and composed: from
// the last boundary before it to the next one. A boundary stands before every code point of combining class 0
// whose quick check is Yes, and nothing reaches over it (tools/generate_unicode_tables.py checks the tables
// for that).
#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "impl/unicode.h"

namespace plumbline::native {
namespace {

struct Character {
  char32_t code_point;
  std::uint8_t nfc;  // its nfc_entry()

  int rank() const { return nfc & kNfcRank; }
};

// Hangul syllables compose by arithmetic (Unicode Standard, section 3.12).
constexpr char32_t kSyllableBase = 0xAC00;
constexpr char32_t kLeadBase = 0x1100;
constexpr char32_t kVowelBase = 0x1161;
constexpr char32_t kTrailBase = 0x11A7;
constexpr char32_t kLeads = 19;
constexpr char32_t kVowels = 21;
constexpr char32_t kTrails = 28;
constexpr char32_t kSyllables = kLeads * kVowels * kTrails;

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

// The characters between two boundaries.
class Span {
 public:
  void clear() { characters_.clear(); }

  void decompose(char32_t c) {
    if (c - kSyllableBase < kSyllables) return decompose_syllable(c - kSyllableBase);
    const std::uint8_t entry = nfc_entry(c);
    if ((entry & kNfcDecomposes) == 0) {
      characters_.push_back({c, entry});
      return;
    }
    const auto found =
        std::lower_bound(kDecompositions.begin(), kDecompositions.end(), c,
                         [](const Decomposition& d, char32_t key) { return d.code_point < key; });
    decompose(found->first);
    if (found->second != 0) decompose(found->second);
  }

  // Canonical ordering: runs of marks sorted by combining class, stably.
  void order_marks() {
    const auto by_rank = [](const Character& a, const Character& b) { return a.rank() < b.rank(); };
    const auto is_starter = [](const Character& c) { return c.rank() == 0; };
    for (auto begin = characters_.begin(); begin != characters_.end();) {
      begin = std::find_if_not(begin, characters_.end(), is_starter);
      const auto end = std::find_if(begin, characters_.end(), is_starter);
      if (!std::is_sorted(begin, end, by_rank)) std::stable_sort(begin, end, by_rank);
      begin = end;
    }
  }

  // Canonical composition: a character (its quick check is Maybe) joins the last starter unless something of
  // the same or a higher class stands between them.
  void compose() {
    std::size_t kept = 0;
    std::size_t starter = characters_.size();  // none
    int last_rank = -1;  // of what stands between the starter and the next character; -1: nothing does
    for (const Character c : characters_) {
      if (starter < kept && (c.nfc & kNfcNotYes) != 0 && last_rank < c.rank()) {
        const char32_t composite = compose_pair(characters_[starter].code_point, c.code_point);
        if (composite != U'\0') {
          characters_[starter].code_point = composite;
          continue;
        }
      }
      if (c.rank() == 0) starter = kept;
      last_rank = c.rank() == 0 ? -1 : c.rank();
      characters_[kept++] = c;
    }
    characters_.resize(kept);
  }

  void append_to(std::string& text) const {
    for (const Character& c : characters_) append_utf8(text, c.code_point);
  }

 private:
  void decompose_syllable(char32_t index) {
    const auto put = [&](char32_t c) { characters_.push_back({c, nfc_entry(c)}); };
    put(kLeadBase + index / (kVowels * kTrails));
    put(kVowelBase + index % (kVowels * kTrails) / kTrails);
    if (index % kTrails != 0) put(kTrailBase + index % kTrails);
  }

  std::vector<Character> characters_;
};

bool is_boundary(char32_t c) {
  return (nfc_entry(c) & (kNfcRank | kNfcNotYes)) == 0;
}

// The last boundary before `offset`, or `first`, which counts as one.
std::size_t boundary_before(std::string_view text, std::size_t offset, std::size_t first) {
  while (offset > first) {
    do --offset;
    while ((static_cast<unsigned char>(text[offset]) & 0xC0) == 0x80);
    std::size_t behind = offset;
    if (is_boundary(next_code_point(text, behind))) break;
  }
  return offset;
}

// The first boundary at or after `offset`, or the end.
std::size_t boundary_from(std::string_view text, std::size_t offset) {
  while (offset < text.size()) {
    std::size_t behind = offset;
    if (is_boundary(next_code_point(text, behind))) break;
    offset = behind;
  }
  return offset;
}

}  // namespace

std::string nfc(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  Span span;
  std::size_t done = 0;  // at a boundary
  while (done < text.size()) {
    const std::size_t doubt = find_nfc_doubt(text, done);
    if (doubt == std::string_view::npos) break;
    const std::size_t begin = boundary_before(text, doubt, done);
    const std::size_t end = boundary_from(text, doubt);
    out += text.substr(done, begin - done);
    span.clear();
    for (std::size_t at = begin; at < end;) span.decompose(next_code_point(text, at));
    span.order_marks();
    span.compose();
    span.append_to(out);
    done = end;
  }
  out += text.substr(done);
  return out;
}

}  // namespace plumbline::native
