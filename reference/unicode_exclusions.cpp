#include "reference/unicode_exclusions.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <span>

#include "reference/internal/unicode_libraries.h"
#include "reference/internal/unicode_truth.h"
#include "reference/internal/utf8.h"

namespace plumbline::reference {
namespace {

constexpr std::size_t kCodePoints = 0x110000;
const std::string kComposed = "composed";

CodePointSet set_of(std::span<const CodePoints> ranges) {
  CodePointSet set(kCodePoints);
  for (const CodePoints& range : ranges) {
    for (char32_t c = range.first; c <= range.last; ++c) set[c] = true;
  }
  return set;
}

CodePointSet only_in(const CodePointSet& a, const CodePointSet& b) {
  CodePointSet set(kCodePoints);
  for (std::size_t c = 0; c < kCodePoints; ++c) set[c] = a[c] && !b[c];
  return set;
}

// A text with the parts of a character that one of them alone makes is what differs, by its second part.
CodePointSet second_parts(const CodePointSet& made) {
  CodePointSet set(kCodePoints);
  for (char32_t c = 0; c < kCodePoints; ++c) {
    if (made[c]) set[second_part(c)] = true;
  }
  return set;
}

void append(std::vector<ExcludedRange>& all, const CodePointSet& set, ExclusionKind kind,
            const std::string& reason) {
  for (char32_t c = 0; c < kCodePoints; ++c) {
    if (!set[c]) continue;
    const char32_t first = c;
    while (c + 1 < kCodePoints && set[c + 1]) ++c;
    all.push_back({first, c, kind, reason});
  }
}

std::vector<ExcludedRange> compare() {
  const UnicodeTruth& truth = unicode_truth();
  const UnicodeLibraries libraries = ask_unicode_libraries();
  const std::string by_split =
      std::string(truth.library) + " (Unicode " + std::string(truth.split_version) + ")";
  const std::string by_nfc = std::string(truth.library) + " (Unicode " + std::string(truth.nfc_version) + ")";
  std::vector<ExcludedRange> all;
  const auto compare_sets = [&](ExclusionKind kind, const std::string& name, const std::string& by,
                                std::span<const CodePoints> expected, const std::string& library,
                                const CodePointSet& answered) {
    CodePointSet theirs = only_in(set_of(expected), answered);
    CodePointSet ours = only_in(answered, set_of(expected));
    if (name == kComposed) {
      theirs = second_parts(theirs);
      ours = second_parts(ours);
    }
    append(all, theirs, kind, name + " to " + by + ", not to " + library);
    append(all, ours, kind, name + " to " + library + ", not to " + by);
  };
  using Kind = ExclusionKind;
  compare_sets(Kind::split, "a letter", by_split, truth.letters, libraries.pcre2, libraries.letters);
  compare_sets(Kind::split, "a number", by_split, truth.numbers, libraries.pcre2, libraries.numbers);
  compare_sets(Kind::split, "white space", by_split, truth.white_space, libraries.pcre2,
               libraries.white_space);
  compare_sets(Kind::normal_form, "reordered", by_nfc, truth.marks, libraries.icu, libraries.marks);
  compare_sets(Kind::normal_form, kComposed, by_nfc, truth.made, libraries.icu, libraries.made);
  compare_sets(Kind::normal_form, "replaced", by_nfc, truth.replaced, libraries.icu, libraries.replaced);
  compare_sets(Kind::word, "a word's", by_split, truth.words, libraries.icu, libraries.words);
  return all;
}

// For each code point 1 + its first range among `ranges`, counting those of one sort: words, or all others.
std::vector<std::uint16_t> index_of(const std::vector<ExcludedRange>& ranges, bool words) {
  std::vector<std::uint16_t> index(kCodePoints, 0);
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    if ((ranges[i].kind == ExclusionKind::word) != words) continue;
    for (char32_t c = ranges[i].first; c <= ranges[i].last; ++c) {
      if (index[c] == 0) index[c] = static_cast<std::uint16_t>(i + 1);
    }
  }
  return index;
}

std::string name_of(char32_t c) {
  char text[16];
  std::snprintf(text, sizeof(text), "U+%04X", static_cast<unsigned>(c));
  return text;
}

}  // namespace

const std::vector<ExcludedRange>& exclusions() {
  static const std::vector<ExcludedRange> all = compare();
  return all;
}

std::optional<Exclusion> excluded(std::string_view text, bool single_word) {
  static const std::vector<std::uint16_t> others = index_of(exclusions(), false);
  static const std::vector<std::uint16_t> words = index_of(exclusions(), true);
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    std::uint16_t found = step.valid ? others[step.code_point] : 0;
    if (found == 0 && single_word && step.valid) found = words[step.code_point];
    if (found != 0) {
      const ExcludedRange& range = exclusions()[found - 1u];
      return Exclusion{step.code_point, at, range.kind, name_of(step.code_point) + ": " + range.reason};
    }
    at += step.length;
  }
  return std::nullopt;
}

}  // namespace plumbline::reference
