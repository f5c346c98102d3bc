#include <algorithm>
#include <vector>

#include "impl/unicode.h"
#include "tests/mutants/token_stages.h"

namespace plumbline::mutants {
namespace {

using M = TokenMistake;

std::vector<char32_t> code_points_of(std::string_view text) {
  std::vector<char32_t> points;
  for (std::size_t at = 0; at < text.size();) points.push_back(native::next_code_point(text, at));
  return points;
}

std::string text_of(const std::vector<char32_t>& points) {
  std::string text;
  for (const char32_t c : points) native::append_utf8(text, c);
  return text;
}

int rank(char32_t c) {
  return native::nfc_entry(c) & native::kNfcRank;
}

// Unicode Standard, section 3.12 for Hangul.
void decompose(char32_t c, std::vector<char32_t>& out) {
  const char32_t syllable = c - 0xAC00;
  if (syllable < 11172) {
    out.push_back(0x1100 + syllable / 588);
    out.push_back(0x1161 + syllable % 588 / 28);
    if (syllable % 28 != 0) out.push_back(0x11A7 + syllable % 28);
    return;
  }
  const auto found =
      std::ranges::lower_bound(native::kDecompositions, c, {}, &native::Decomposition::code_point);
  if (found == native::kDecompositions.end() || found->code_point != c) {
    out.push_back(c);
    return;
  }
  decompose(found->first, out);
  if (found->second != 0) decompose(found->second, out);
}

std::string nfd(std::string_view text) {
  std::vector<char32_t> points;
  for (const char32_t c : code_points_of(text)) decompose(c, points);
  for (auto begin = points.begin(); begin != points.end();) {
    begin = std::find_if(begin, points.end(), [](char32_t c) { return rank(c) != 0; });
    const auto end = std::find_if(begin, points.end(), [](char32_t c) { return rank(c) == 0; });
    std::stable_sort(begin, end, [](char32_t a, char32_t b) { return rank(a) < rank(b); });
    begin = end;
  }
  return text_of(points);
}

// A letter and the mark right behind it are composed, and nothing else is done.
std::string composed_in_place(std::string_view text) {
  std::string out;
  const std::vector<char32_t> points = code_points_of(text);
  for (std::size_t i = 0; i < points.size(); ++i) {
    std::string pair = text_of({points[i]});
    if (i + 1 < points.size() && rank(points[i]) == 0 && rank(points[i + 1]) != 0) {
      const std::string joined = native::nfc(text_of({points[i], points[i + 1]}));
      if (code_points_of(joined).size() == 1) {
        pair = joined;
        ++i;
      }
    }
    out += pair;
  }
  return out;
}

// NFKC of what ordinary text has of it.
char32_t compatible(char32_t c) {
  if (c >= 0xFF01 && c <= 0xFF5E) return c - 0xFF01 + 0x21;
  if (c == 0x00A0 || c == 0x3000 || (c >= 0x2000 && c <= 0x200A)) return ' ';
  if (c == 0x00B2 || c == 0x00B3) return c - 0x00B2 + '2';
  return c == 0x00B9 ? '1' : c;
}

char32_t lower(char32_t c) {
  const bool capital = (c >= 'A' && c <= 'Z') || (c >= 0xC0 && c <= 0xDE && c != 0xD7) ||
                       (c >= 0x391 && c <= 0x3A9) || (c >= 0x410 && c <= 0x42F);
  return capital ? c + 0x20 : c;
}

std::string each(std::string_view text, char32_t (*change)(char32_t)) {
  std::vector<char32_t> points = code_points_of(text);
  std::ranges::transform(points, points.begin(), change);
  return text_of(points);
}

std::string replaced(std::string text, std::string_view what, std::string_view by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size())
    text.replace(at, what.size(), by);
  return text;
}

}  // namespace

std::string normalize(std::string_view text, TokenMistake planted) {
  switch (planted) {
    case M::no_normal_form:
      return std::string(text);
    case M::decomposed:
      return nfd(text);
    case M::compatibility_forms:
      return each(native::nfc(text), compatible);
    case M::marks_unordered:
      return composed_in_place(text);
    case M::lowercased:
      return each(native::nfc(text), lower);
    case M::replacement_dropped:
      return replaced(native::nfc(text), "\uFFFD", "");
    case M::byte_order_mark_dropped:
      return native::nfc(text.starts_with("\uFEFF") ? text.substr(3) : text);
    case M::line_ends_unified:
      return replaced(native::nfc(text), "\r\n", "\n");
    default:
      return native::nfc(text);
  }
}

}  // namespace plumbline::mutants
