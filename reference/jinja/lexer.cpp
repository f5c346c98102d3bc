#include "reference/jinja/lexer.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "harness/error.h"

namespace plumbline::reference::jinja {
namespace {

constexpr std::string_view kSpace = " \t\n\r\f\v";
// The longest first.
constexpr std::string_view kSigns[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                       "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ","};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c);
}

// All line ends as "\n", and without the last one.
std::string one_kind_of_line_end(std::string_view source) {
  std::string text;
  for (std::size_t at = 0; at < source.size(); ++at) {
    const bool pair = source[at] == '\r' && at + 1 < source.size() && source[at + 1] == '\n';
    if (!pair) text += source[at] == '\r' ? '\n' : source[at];
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

std::string utf8(std::uint32_t code) {
  if (code < 0x80) return {static_cast<char>(code)};
  const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  constexpr std::uint32_t kLead[] = {0, 0xC0, 0xE0, 0xF0};
  std::string out(1, static_cast<char>(kLead[more] | code >> (6 * more)));
  for (int i = more - 1; i >= 0; --i) out += static_cast<char>(0x80U | (code >> (6 * i) & 0x3FU));
  return out;
}

class Lexer {
 public:
  Lexer(std::string_view source, const std::string& where)
      : text_(one_kind_of_line_end(source)), where_(where) {}
  std::vector<Token> run() {
    while (at_ < text_.size()) outside();
    add(Token::Kind::end, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { refuse(what, where_, line_); }
  void add(Token::Kind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }
  bool next_is(std::string_view expected) const {
    return std::string_view(text_).substr(at_).starts_with(expected);
  }
  std::string_view rest() const { return std::string_view(text_).substr(at_); }
  void advance(std::size_t count);
  void skip_space() { advance(std::min(text_.find_first_not_of(kSpace, at_), text_.size()) - at_); }
  std::size_t next_tag() const;
  void outside();
  void comment();
  void inside(const std::string& close, Token::Kind end);
  bool closes(const std::string& close, Token::Kind end);
  void word_number_or_sign();
  void literal();
  std::string unescaped(std::string_view body) const;
  std::uint32_t code_of(std::string_view digits, int base) const;

  std::string text_;
  const std::string& where_;
  std::vector<Token> tokens_;
  std::string open_;  // brackets that are open in this tag
  std::size_t at_ = 0;
  int line_ = 1;
  bool line_starts_ = true;  // whether what was read last ended a line
};

void Lexer::advance(std::size_t count) {
  const std::string_view passed = rest().substr(0, count);
  line_ += static_cast<int>(std::ranges::count(passed, '\n'));
  if (!passed.empty()) line_starts_ = passed.back() == '\n';
  at_ += passed.size();
}

// Where "{{", "{%" or "{#" stands next; the end where none does.
std::size_t Lexer::next_tag() const {
  for (std::size_t at = text_.find('{', at_); at < text_.size(); at = text_.find('{', at + 1)) {
    if (at + 1 < text_.size() && std::string_view("{%#").find(text_[at + 1]) != std::string_view::npos)
      return at;
  }
  return text_.size();
}

// Text up to the next tag, and the tag.
void Lexer::outside() {
  const std::size_t tag = next_tag();
  std::string_view before = std::string_view(text_).substr(at_, tag - at_);
  const char kind = tag < text_.size() ? text_[tag + 1] : ' ';
  const char trim = tag + 2 < text_.size() ? text_[tag + 2] : ' ';
  const bool marked = tag < text_.size() && (trim == '-' || trim == '+');
  if (marked && trim == '-') {
    before = before.substr(0, before.find_last_not_of(kSpace) + 1);
  } else if (!marked && (kind == '%' || kind == '#')) {  // lstrip_blocks
    const std::size_t line = before.rfind('\n') + 1;
    const bool begins = line > 0 || line_starts_;
    if (begins && before.find_first_not_of(" \t", line) == std::string_view::npos)
      before = before.substr(0, line);
  }
  if (!before.empty()) add(Token::Kind::text, std::string(before));
  advance(tag - at_);
  if (at_ == text_.size()) return;
  advance(marked ? 3 : 2);
  if (kind == '#') return comment();
  add(kind == '{' ? Token::Kind::output_begin : Token::Kind::block_begin, "");
  inside(kind == '{' ? "}}" : "%}", kind == '{' ? Token::Kind::output_end : Token::Kind::block_end);
}

void Lexer::comment() {
  const std::size_t end = text_.find("#}", at_);
  if (end == std::string::npos) fail("a comment does not end");
  const bool trims = end > at_ && text_[end - 1] == '-', keeps = end > at_ && text_[end - 1] == '+';
  advance(end + 2 - at_);
  if (trims) skip_space();
  if (!trims && !keeps && next_is("\n")) advance(1);  // trim_blocks
}

bool Lexer::closes(const std::string& close, Token::Kind end) {
  if (!open_.empty()) return false;
  const bool block = end == Token::Kind::block_end;
  const bool trims = next_is("-" + close), keeps = block && next_is("+" + close);
  if (!trims && !keeps && !next_is(close)) return false;
  add(end, "");
  advance(close.size() + (trims || keeps ? 1 : 0));
  if (trims) skip_space();
  if (block && !trims && !keeps && next_is("\n")) advance(1);
  return true;
}

void Lexer::inside(const std::string& close, Token::Kind end) {
  open_.clear();
  for (skip_space(); !closes(close, end); skip_space()) {
    if (at_ == text_.size()) fail("a tag does not end");
    if (text_[at_] == '\'' || text_[at_] == '"') {
      literal();
    } else {
      word_number_or_sign();
    }
  }
}

void Lexer::word_number_or_sign() {
  const auto span = [&](std::size_t from, auto holds) {
    while (from < text_.size() && holds(text_[from])) ++from;
    return from;
  };
  std::size_t end = at_;
  Token::Kind kind = Token::Kind::name;
  if (is_digit(text_[at_])) {
    kind = Token::Kind::integer;
    end = span(at_, is_digit);
    if (end + 1 < text_.size() && text_[end] == '.' && is_digit(text_[end + 1])) {
      kind = Token::Kind::real;
      end = span(end + 1, is_digit);
    }
    if (end < text_.size() && is_word(text_[end])) fail("a number of this form is not known here");
  } else if (is_word(text_[at_])) {
    end = span(at_, is_word);
  } else {
    kind = Token::Kind::sign;
    const auto sign = std::ranges::find_if(kSigns, [&](std::string_view each) { return next_is(each); });
    if (sign == std::end(kSigns)) fail("'" + text_.substr(at_, 1) + "' is not expected");
    const char c = sign->front();
    if (c == '(' || c == '[' || c == '{') open_ += c;
    if (c == ')' || c == ']' || c == '}') {
      const char opening = c == ')' ? '(' : c == ']' ? '[' : '{';
      if (!open_.ends_with(opening)) fail(std::string("'") + c + "' is not expected");
      open_.pop_back();
    }
    end = at_ + sign->size();
  }
  add(kind, text_.substr(at_, end - at_));
  advance(end - at_);
}

void Lexer::literal() {
  const char quote = text_[at_];
  std::size_t end = at_ + 1;
  while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
  if (end >= text_.size()) fail("a text in quotes does not end");
  add(Token::Kind::literal, unescaped(std::string_view(text_).substr(at_ + 1, end - at_ - 1)));
  advance(end + 1 - at_);
}

std::uint32_t Lexer::code_of(std::string_view digits, int base) const {
  std::uint32_t code = 0;
  const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), code, base);
  const bool whole = status == std::errc{} && end == digits.data() + digits.size();
  const bool scalar = code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
  if (!whole || !scalar) fail("a text has an escape that names no character");
  return code;
}

// Python's escapes; a backslash before any other character stays.
std::string Lexer::unescaped(std::string_view body) const {
  constexpr std::string_view kLetters = "\\'\"abfnrtv", kMeant = "\\'\"\a\b\f\n\r\t\v";
  std::string out;
  for (std::size_t at = 0; at < body.size(); ++at) {
    if (body[at] != '\\') {
      out += body[at];
      continue;
    }
    const char next = body[++at];
    const std::size_t hex = next == 'x' ? 2 : next == 'u' ? 4 : next == 'U' ? 8 : 0;
    if (const std::size_t simple = kLetters.find(next); simple != std::string_view::npos) {
      out += kMeant[simple];
    } else if (next == '\n') {
      continue;
    } else if (hex > 0) {
      if (body.size() - at - 1 < hex) fail("a text has an escape that is cut off");
      out += utf8(code_of(body.substr(at + 1, hex), 16));
      at += hex;
    } else if (next >= '0' && next <= '7') {
      std::size_t count = 1;
      while (count < 3 && at + count < body.size() && body[at + count] >= '0' && body[at + count] <= '7')
        ++count;
      out += utf8(code_of(body.substr(at, count), 8));
      at += count - 1;
    } else if (next == 'N') {
      fail("the escape \\N is not known here");
    } else {
      out.append("\\").push_back(next);
    }
  }
  return out;
}

}  // namespace

std::vector<Token> tokenize(std::string_view source, const std::string& where) {
  return Lexer(source, where).run();
}

void refuse(const std::string& what, const std::string& where, int line) {
  throw Error(what, where + ": chat_template, line " + std::to_string(line));
}

}  // namespace plumbline::reference::jinja
