#include "impl/chat/template_lexer.h"

#include <cctype>

#include <fmt/format.h>

#include "harness/error.h"

namespace plumbline::native {
namespace {

constexpr std::string_view kWhite = " \t\n\v\f\r";

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

// Jinja reads every line end as "\n" and drops the last one.
std::string with_plain_line_ends(std::string_view jinja) {
  std::string out;
  for (std::size_t i = 0; i < jinja.size(); ++i) {
    if (jinja[i] == '\r' && jinja.substr(i, 2) == "\r\n") continue;
    out += jinja[i] == '\r' ? '\n' : jinja[i];
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class TemplateLexer {
 public:
  TemplateLexer(std::string_view jinja, const std::string& where)
      : source_(with_plain_line_ends(jinja)), rest_(source_), where_(where) {}

  std::vector<TemplatePart> run() {
    while (!rest_.empty()) {
      const std::size_t tag = find_tag();
      take_text(tag);
      if (!rest_.empty()) take_tag();
    }
    return std::move(parts_);
  }

 private:
  [[noreturn]] void fail(std::string_view what) const { throw Error(what, where_); }
  std::size_t find_tag() const {
    for (std::size_t at = 0; at + 1 < rest_.size(); ++at) {
      const char next = rest_[at + 1];
      if (rest_[at] == '{' && (next == '{' || next == '%' || next == '#')) return at;
    }
    return rest_.size();
  }
  void skip(std::size_t count) {
    if (count > 0) at_line_begin_ = rest_[count - 1] == '\n';
    rest_.remove_prefix(count);
  }
  void skip_white() { skip(std::min(rest_.find_first_not_of(kWhite), rest_.size())); }

  void take_text(std::size_t size);
  void take_tag();
  void take_tag_end(bool trims, bool is_output, bool keeps);
  void take_comment();
  TemplateToken literal();
  TemplateToken word_or_sign();

  std::string source_;
  std::string_view rest_;
  const std::string& where_;
  std::vector<TemplatePart> parts_;
  bool at_line_begin_ = true;
};

// lstrip_blocks: white space between a line's begin and a block or comment goes, unless a "+" keeps it.
void TemplateLexer::take_text(std::size_t size) {
  std::string_view text = rest_.substr(0, size);
  const std::string_view tag = rest_.substr(size, 3);
  if (tag.size() == 3 && tag[2] == '-') {
    text = text.substr(0, text.find_last_not_of(kWhite) + 1);
  } else if (!tag.empty() && tag[1] != '{' && !(tag.size() == 3 && tag[2] == '+')) {
    const std::size_t line = text.rfind('\n') + 1;
    const bool from_line_begin = line > 0 || at_line_begin_;
    if (from_line_begin && text.find_first_not_of(" \t", line) == std::string_view::npos)
      text = text.substr(0, line);
  }
  if (!text.empty()) parts_.push_back({TemplatePart::Kind::text, std::string(text), {}});
  skip(size);
}

void TemplateLexer::take_comment() {
  const std::size_t end = rest_.find("#}", 2);
  if (end == std::string_view::npos) fail("a comment does not end");
  const char last = rest_[end - 1];
  skip(end + 2);
  if (last == '-') skip_white();
  if (last != '-' && last != '+' && rest_.starts_with('\n')) skip(1);
}

// trim_blocks: the line end behind a block goes, unless a "+" keeps it.
void TemplateLexer::take_tag_end(bool trims, bool is_output, bool keeps) {
  skip(trims || keeps ? 3 : 2);
  if (trims) skip_white();
  if (!trims && !keeps && !is_output && rest_.starts_with('\n')) skip(1);
}

void TemplateLexer::take_tag() {
  if (rest_[1] == '#') return take_comment();
  const bool is_output = rest_[1] == '{';
  const std::string_view end = is_output ? "}}" : "%}";
  skip(rest_.size() > 2 && (rest_[2] == '-' || rest_[2] == '+') ? 3 : 2);
  TemplatePart part{is_output ? TemplatePart::Kind::output : TemplatePart::Kind::block, {}, {}};
  int depth = 0;  // of brackets, within which nothing ends a tag
  for (skip_white(); !rest_.empty(); skip_white()) {
    const bool trims = rest_.substr(0, 3) == fmt::format("-{}", end);
    const bool keeps = !is_output && rest_.substr(0, 3) == fmt::format("+{}", end);
    if (depth == 0 && (trims || keeps || rest_.starts_with(end))) {
      parts_.push_back(std::move(part));
      return take_tag_end(trims, is_output, keeps);
    }
    const bool quoted = rest_[0] == '\'' || rest_[0] == '"';
    part.tokens.push_back(quoted ? literal() : word_or_sign());
    if (quoted) continue;
    const std::string& sign = part.tokens.back().text;
    if (sign == "(" || sign == "[" || sign == "{") ++depth;
    if (sign == ")" || sign == "]" || sign == "}") --depth;
  }
  fail("a tag does not end");
}

TemplateToken TemplateLexer::literal() {
  constexpr std::string_view kEscaped = "nrt\\'\"", kMeant = "\n\r\t\\'\"";
  const char quote = rest_[0];
  std::string text;
  std::size_t at = 1;
  for (; at < rest_.size() && rest_[at] != quote; ++at) {
    if (rest_[at] != '\\') {
      text += rest_[at];
      continue;
    }
    const std::size_t escape = ++at < rest_.size() ? kEscaped.find(rest_[at]) : std::string_view::npos;
    if (escape == std::string_view::npos) fail("a literal has an escape that is not known");
    text += kMeant[escape];
  }
  if (at >= rest_.size()) fail("a literal does not end");
  skip(at + 1);
  return {TemplateToken::Kind::literal, std::move(text)};
}

TemplateToken TemplateLexer::word_or_sign() {
  std::size_t size = 0;
  while (size < rest_.size() && is_word(rest_[size])) ++size;
  const bool word = size > 0;
  if (!word) {
    constexpr std::string_view kTwo[] = {"==", "!=", "<=", ">=", "//", "**"};
    if (std::string_view("+-*/%~|.,:()[]{}<>=").find(rest_[0]) == std::string_view::npos &&
        !rest_.starts_with("!="))
      fail("a tag has a sign that is not known");
    size = 1;
    for (const std::string_view each : kTwo) {
      if (rest_.starts_with(each)) size = 2;
    }
  }
  TemplateToken token{word ? TemplateToken::Kind::word : TemplateToken::Kind::sign,
                      std::string(rest_.substr(0, size))};
  skip(size);
  return token;
}

}  // namespace

std::vector<TemplatePart> template_parts(std::string_view jinja, const std::string& where) {
  return TemplateLexer(jinja, where).run();
}

}  // namespace plumbline::native
