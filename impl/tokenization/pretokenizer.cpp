// The pattern's alternatives in their order: the first that matches wins, as in a backtracking regular
// expression.
#include "impl/tokenization/pretokenizer.h"

#include "impl/unicode.h"

namespace plumbline::native {
namespace {

struct Character {
  CharClass kind;
  std::size_t end;  // behind its last byte
};

Character character_at(std::string_view text, std::size_t at) {
  const CharClass kind = char_class(next_code_point(text, at));
  return {kind, at};
}

bool is_line_end(char c) {
  return c == '\r' || c == '\n';
}

// The end of the characters of one class that begin at `at`.
std::size_t run_end(std::string_view text, std::size_t at, CharClass kind) {
  while (at < text.size()) {
    const Character next = character_at(text, at);
    if (next.kind != kind) break;
    at = next.end;
  }
  return at;
}

bool is_at(std::string_view text, std::size_t at, CharClass kind) {
  return at < text.size() && character_at(text, at).kind == kind;
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d) behind the apostrophe; `at` where it does not match. By simple case folding
// U+017F, the long s, is an s too.
std::size_t contraction_end(std::string_view text, std::size_t at) {
  const auto lower = [&](std::size_t i) {
    return i < text.size() ? static_cast<char>(text[i] | 0x20) : '\0';
  };
  switch (lower(at)) {
    case 's':
    case 't':
    case 'm':
    case 'd':
      return at + 1;
    case 'r':
    case 'v':
      return lower(at + 1) == 'e' ? at + 2 : at;
    case 'l':
      return lower(at + 1) == 'l' ? at + 2 : at;
    default:
      return text.substr(at, 2) == "\u017f" ? at + 2 : at;
  }
}

// [^\s\p{L}\p{N}]*[\r\n]*
std::size_t signs_end(std::string_view text, std::size_t at) {
  at = run_end(text, at, CharClass::other);
  while (at < text.size() && is_line_end(text[at])) ++at;
  return at;
}

// \s*[\r\n]+|\s+(?!\S)|\s+ : to behind the run's last line end; in a run without one, all but the last
// character where something other than white space follows, unless that is all there is.
std::size_t space_end(std::string_view text, std::size_t begin) {
  std::size_t behind_line_end = begin;
  std::size_t last = begin;
  std::size_t at = begin;
  while (at < text.size()) {
    const Character next = character_at(text, at);
    if (next.kind != CharClass::space) break;
    if (is_line_end(text[at])) behind_line_end = next.end;
    last = at;
    at = next.end;
  }
  if (behind_line_end != begin) return behind_line_end;
  return at == text.size() || last == begin ? at : last;
}

}  // namespace

std::size_t qwen2_piece_end(std::string_view text, std::size_t begin) {
  const Character first = character_at(text, begin);
  if (first.kind == CharClass::letter) return run_end(text, first.end, CharClass::letter);
  if (first.kind == CharClass::number) return first.end;
  if (text[begin] == '\'') {
    const std::size_t end = contraction_end(text, first.end);
    if (end != first.end) return end;
  }
  if (!is_line_end(text[begin]) && is_at(text, first.end, CharClass::letter)) {
    return run_end(text, first.end, CharClass::letter);
  }
  const bool signs =
      first.kind == CharClass::other || (text[begin] == ' ' && is_at(text, first.end, CharClass::other));
  return signs ? signs_end(text, first.end) : space_end(text, begin);
}

PreTokenizer::PreTokenizer(const std::string& pattern, const std::string& where) {
  if (pattern != kQwen2Pattern) regex_ = std::make_unique<const RegexSplit>(pattern, where);
}

}  // namespace plumbline::native
