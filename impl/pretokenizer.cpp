// Each alternative of the pattern is one function that says where its match from `begin` ends (`begin`
// itself: no match). The first alternative that matches wins, as in a backtracking regular expression.
#include "impl/pretokenizer.h"

#include <string>

#include "harness/error.h"
#include "impl/unicode.h"

namespace plumbline::native {
namespace {

struct Character {
  char32_t code_point;
  CharClass kind;
  std::size_t offset;  // in bytes
};

using Text = std::vector<Character>;

Text decode(std::string_view text) {
  Text characters;
  characters.reserve(text.size());
  for (std::size_t offset = 0; offset < text.size();) {
    const std::size_t start = offset;
    const char32_t c = next_code_point(text, offset);
    characters.push_back({c, char_class(c), start});
  }
  return characters;
}

bool is_line_end(const Character& c) {
  return c.code_point == U'\r' || c.code_point == U'\n';
}

template <typename Predicate>
std::size_t run(const Text& text, std::size_t at, Predicate belongs) {
  while (at < text.size() && belongs(text[at])) ++at;
  return at;
}

std::size_t run_of(const Text& text, std::size_t at, CharClass kind) {
  return run(text, at, [&](const Character& c) { return c.kind == kind; });
}

// Simple case folding, for the letters of the contractions: U+017F (long s) folds to s.
char32_t fold(char32_t c) {
  if (c >= U'A' && c <= U'Z') return c - U'A' + U'a';
  return c == U'\u017f' ? U's' : c;
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d)
std::size_t contraction(const Text& text, std::size_t begin) {
  if (text[begin].code_point != U'\'') return begin;
  for (const std::u32string_view ending : {U"s", U"t", U"re", U"ve", U"m", U"ll", U"d"}) {
    if (begin + ending.size() >= text.size()) continue;
    bool equal = true;
    for (std::size_t i = 0; i < ending.size(); ++i) {
      equal = equal && fold(text[begin + 1 + i].code_point) == ending[i];
    }
    if (equal) return begin + 1 + ending.size();
  }
  return begin;
}

// [^\r\n\p{L}\p{N}]?\p{L}+
std::size_t word(const Text& text, std::size_t begin) {
  const CharClass kind = text[begin].kind;
  const bool prefix = kind != CharClass::letter && kind != CharClass::number && !is_line_end(text[begin]);
  const std::size_t letters = begin + (prefix ? 1 : 0);
  const std::size_t end = run_of(text, letters, CharClass::letter);
  return end == letters ? begin : end;
}

// \p{N}
std::size_t number(const Text& text, std::size_t begin) {
  return text[begin].kind == CharClass::number ? begin + 1 : begin;
}

//  ?[^\s\p{L}\p{N}]+[\r\n]*
std::size_t signs(const Text& text, std::size_t begin) {
  const std::size_t first = begin + (text[begin].code_point == U' ' ? 1 : 0);
  const std::size_t end = run_of(text, first, CharClass::other);
  return end == first ? begin : run(text, end, is_line_end);
}

// \s*[\r\n]+ : up to the last line end of the run of white space.
std::size_t line_ends(const Text& text, std::size_t begin) {
  std::size_t end = run_of(text, begin, CharClass::space);
  while (end > begin && !is_line_end(text[end - 1])) --end;
  return end;
}

// \s+(?!\S) : all of the run at the end of the text, else all but its last, which goes with what follows.
std::size_t inner_space(const Text& text, std::size_t begin) {
  const std::size_t end = run_of(text, begin, CharClass::space);
  return end == text.size() || end == begin ? end : end - 1;
}

// \s+
std::size_t space(const Text& text, std::size_t begin) {
  return run_of(text, begin, CharClass::space);
}

std::size_t next_end(const Text& text, std::size_t begin) {
  for (const auto alternative : {contraction, word, number, signs, line_ends, inner_space, space}) {
    const std::size_t end = alternative(text, begin);
    if (end > begin) return end;
  }
  throw InternalError("pretokenizer: a character that no alternative matches");
}

}  // namespace

std::vector<std::string_view> pretokenize(std::string_view text) {
  const Text characters = decode(text);
  const auto offset_of = [&](std::size_t i) {
    return i < characters.size() ? characters[i].offset : text.size();
  };
  std::vector<std::string_view> pieces;
  for (std::size_t begin = 0; begin < characters.size();) {
    const std::size_t end = next_end(characters, begin);
    pieces.push_back(text.substr(offset_of(begin), offset_of(end) - offset_of(begin)));
    begin = end;
  }
  return pieces;
}

}  // namespace plumbline::native
