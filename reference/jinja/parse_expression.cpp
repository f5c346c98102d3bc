#include "reference/jinja/parse_expression.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <initializer_list>

namespace plumbline::reference::jinja {
namespace {

using Kind = Expression::Kind;
constexpr int kDeepest = 200;

// One method per level of Jinja's grammar, the loosest first.
class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& tokens) : tokens_(tokens) {}
  ExpressionPtr conditional();
  ExpressionPtr either();

 private:
  ExpressionPtr both();
  ExpressionPtr negation();
  ExpressionPtr comparison();
  ExpressionPtr sum();
  ExpressionPtr joined();
  ExpressionPtr product();
  ExpressionPtr unary(bool with_filters);
  ExpressionPtr primary();
  ExpressionPtr postfix(ExpressionPtr value);
  ExpressionPtr subscript(ExpressionPtr value);
  ExpressionPtr filters(ExpressionPtr value);
  ExpressionPtr test(ExpressionPtr value);
  ExpressionPtr list_of(const char* close, bool pairs);
  void arguments(Expression& call);

  ExpressionPtr node(Kind kind, std::string text = {}) {
    auto made = std::make_unique<Expression>();
    made->kind = kind;
    made->line = tokens_.peek().line;
    made->text = std::move(text);
    return made;
  }
  // Depth is counted as a tree grows to the side too: "a + b + c" is a tree as deep as it is long.
  void add(Expression& to, ExpressionPtr part) {
    deepen(to, part.get());
    to.parts.push_back(std::move(part));
  }
  void deepen(Expression& to, const Expression* part) {
    if (part != nullptr) to.depth = std::max(to.depth, part->depth + 1);
    if (to.depth > kDeepest) tokens_.fail("an expression nests too deep");
  }
  ExpressionPtr binary(std::string sign, ExpressionPtr left, ExpressionPtr right) {
    ExpressionPtr made = node(Kind::binary, std::move(sign));
    add(*made, std::move(left));
    add(*made, std::move(right));
    return made;
  }

  TokenStream& tokens_;
  int open_ = 0;
};

ExpressionPtr ExpressionParser::conditional() {
  if (++open_ > kDeepest / 4) tokens_.fail("an expression nests too deep");
  ExpressionPtr value = either();
  while (tokens_.take_word("if")) {
    ExpressionPtr made = node(Kind::conditional);
    add(*made, either());
    add(*made, std::move(value));
    add(*made, tokens_.take_word("else") ? conditional() : nullptr);
    value = std::move(made);
  }
  --open_;
  return value;
}

ExpressionPtr ExpressionParser::either() {
  ExpressionPtr left = both();
  while (tokens_.take_word("or")) left = binary("or", std::move(left), both());
  return left;
}

ExpressionPtr ExpressionParser::both() {
  ExpressionPtr left = negation();
  while (tokens_.take_word("and")) left = binary("and", std::move(left), negation());
  return left;
}

ExpressionPtr ExpressionParser::negation() {
  if (!tokens_.take_word("not")) return comparison();
  if (++open_ > kDeepest / 4) tokens_.fail("an expression nests too deep");
  ExpressionPtr made = node(Kind::unary, "not");
  add(*made, negation());
  --open_;
  return made;
}

// a < b < c means a < b and b < c, as in Python; here one comparison at a time is known.
ExpressionPtr ExpressionParser::comparison() {
  ExpressionPtr left = sum();
  int count = 0;
  while (true) {
    std::string sign;
    for (const char* each : {"==", "!=", "<=", ">=", "<", ">"}) {
      if (sign.empty() && tokens_.take_sign(each)) sign = each;
    }
    if (sign.empty() && tokens_.take_word("in")) sign = "in";
    if (sign.empty() && tokens_.is_word("not") && tokens_.peek(1).kind == Token::Kind::name &&
        tokens_.peek(1).text == "in") {
      tokens_.take();
      tokens_.take();
      sign = "not in";
    }
    if (sign.empty()) return left;
    if (++count > 1) tokens_.fail("a chain of comparisons is not known here");
    left = binary(sign, std::move(left), sum());
  }
}

ExpressionPtr ExpressionParser::sum() {
  ExpressionPtr left = joined();
  while (tokens_.is_sign("+") || tokens_.is_sign("-")) {
    const std::string sign = tokens_.take().text;
    left = binary(sign, std::move(left), joined());
  }
  return left;
}

ExpressionPtr ExpressionParser::joined() {
  ExpressionPtr left = product();
  while (tokens_.take_sign("~")) left = binary("~", std::move(left), product());
  return left;
}

ExpressionPtr ExpressionParser::product() {
  ExpressionPtr left = unary(true);
  while (tokens_.is_sign("*") || tokens_.is_sign("/") || tokens_.is_sign("//") || tokens_.is_sign("%")) {
    const std::string sign = tokens_.take().text;
    left = binary(sign, std::move(left), unary(true));
  }
  if (tokens_.is_sign("**")) tokens_.fail("the operator '**' is not known here");
  return left;
}

ExpressionPtr ExpressionParser::unary(bool with_filters) {
  ExpressionPtr value;
  if (tokens_.is_sign("-") || tokens_.is_sign("+")) {
    if (++open_ > kDeepest / 4) tokens_.fail("an expression nests too deep");
    value = node(Kind::unary, tokens_.take().text);
    add(*value, unary(false));
    --open_;
  } else {
    value = primary();
  }
  value = postfix(std::move(value));
  return with_filters ? filters(std::move(value)) : std::move(value);
}

ExpressionPtr ExpressionParser::primary() {
  const Token token = tokens_.peek();
  ExpressionPtr made = node(Kind::constant);
  if (token.kind == Token::Kind::name) {
    tokens_.take();
    if (token.text == "true" || token.text == "True") {
      made->value = true;
    } else if (token.text == "false" || token.text == "False") {
      made->value = false;
    } else if (token.text == "none" || token.text == "None") {
      made->value = None{};
    } else {
      made->kind = Kind::name;
      made->text = token.text;
    }
  } else if (token.kind == Token::Kind::literal) {
    std::string text;
    while (tokens_.peek().kind == Token::Kind::literal) text += tokens_.take().text;
    made->value = std::move(text);
  } else if (token.kind == Token::Kind::integer) {
    std::int64_t value = 0;
    const char* end = token.text.data() + token.text.size();
    if (std::from_chars(token.text.data(), end, value).ec != std::errc{})
      tokens_.fail("a number is too large");
    if (token.text.size() > 1 && token.text.front() == '0' && value != 0) tokens_.fail_unexpected();
    made->value = value;
    tokens_.take();
  } else if (token.kind == Token::Kind::real) {
    made->value = std::strtod(tokens_.take().text.c_str(), nullptr);
  } else if (tokens_.take_sign("(")) {
    if (tokens_.is_sign(")")) tokens_.fail("a tuple is not known here");
    made = conditional();
    if (tokens_.is_sign(",")) tokens_.fail("a tuple is not known here");
    tokens_.expect_sign(")");
  } else if (tokens_.take_sign("[")) {
    made = list_of("]", false);
  } else if (tokens_.take_sign("{")) {
    made = list_of("}", true);
  } else {
    tokens_.fail_unexpected();
  }
  return made;
}

ExpressionPtr ExpressionParser::list_of(const char* close, bool pairs) {
  ExpressionPtr made = node(pairs ? Kind::dict : Kind::list);
  while (!tokens_.take_sign(close)) {
    if (!made->parts.empty()) tokens_.expect_sign(",");
    if (!made->parts.empty() && tokens_.take_sign(close)) break;
    add(*made, conditional());
    if (!pairs) continue;
    tokens_.expect_sign(":");
    add(*made, conditional());
  }
  return made;
}

ExpressionPtr ExpressionParser::postfix(ExpressionPtr value) {
  while (true) {
    if (tokens_.take_sign(".")) {
      ExpressionPtr made = node(Kind::attribute);
      if (tokens_.peek().kind == Token::Kind::integer)
        tokens_.fail("an attribute that is a number is not known here");
      made->text = tokens_.expect(Token::Kind::name, "a name").text;
      add(*made, std::move(value));
      value = std::move(made);
    } else if (tokens_.take_sign("[")) {
      value = subscript(std::move(value));
    } else if (tokens_.take_sign("(")) {
      ExpressionPtr made = node(Kind::call);
      add(*made, std::move(value));
      arguments(*made);
      value = std::move(made);
    } else {
      return value;
    }
  }
}

ExpressionPtr ExpressionParser::subscript(ExpressionPtr value) {
  ExpressionPtr made = node(Kind::item);
  add(*made, std::move(value));
  const auto ends = [&] { return tokens_.is_sign(":") || tokens_.is_sign("]"); };
  add(*made, tokens_.is_sign(":") ? nullptr : conditional());
  while (tokens_.take_sign(":")) {
    made->kind = Kind::slice;
    add(*made, ends() ? nullptr : conditional());
  }
  tokens_.expect_sign("]");
  if (made->parts.size() > 4) tokens_.fail("a slice has four parts");
  if (made->kind == Kind::slice) made->parts.resize(4);
  return made;
}

// The opening bracket is taken.
void ExpressionParser::arguments(Expression& call) {
  bool first = true;
  while (!tokens_.take_sign(")")) {
    if (!first) tokens_.expect_sign(",");
    if (!first && tokens_.take_sign(")")) return;
    first = false;
    if (tokens_.is_sign("*") || tokens_.is_sign("**"))
      tokens_.fail("an argument with a star is not known here");
    Expression::Named argument;
    const Token& next = tokens_.peek(1);
    if (tokens_.peek().kind == Token::Kind::name && next.kind == Token::Kind::sign && next.text == "=") {
      argument.name = tokens_.take().text;
      tokens_.take();
    } else if (!call.arguments.empty() && !call.arguments.back().name.empty()) {
      tokens_.fail_unexpected();
    }
    argument.value = conditional();
    deepen(call, argument.value.get());
    call.arguments.push_back(std::move(argument));
  }
}

ExpressionPtr ExpressionParser::filters(ExpressionPtr value) {
  while (true) {
    if (tokens_.take_sign("|")) {
      ExpressionPtr made = node(Kind::filter);
      made->text = tokens_.expect(Token::Kind::name, "a filter's name").text;
      add(*made, std::move(value));
      if (tokens_.take_sign("(")) arguments(*made);
      value = std::move(made);
    } else if (tokens_.take_word("is")) {
      value = test(std::move(value));
    } else {
      return value;
    }
  }
}

ExpressionPtr ExpressionParser::test(ExpressionPtr value) {
  const bool negated = tokens_.take_word("not");
  ExpressionPtr made = node(Kind::test);
  made->text = tokens_.expect(Token::Kind::name, "a test's name").text;
  add(*made, std::move(value));
  const Token& next = tokens_.peek();
  const bool ends = next.kind == Token::Kind::name &&
                    (next.text == "else" || next.text == "or" || next.text == "and" || next.text == "if" ||
                     next.text == "is" || next.text == "not" || next.text == "in");
  const bool begins = next.kind == Token::Kind::name || next.kind == Token::Kind::literal ||
                      next.kind == Token::Kind::integer || next.kind == Token::Kind::real ||
                      tokens_.is_sign("[") || tokens_.is_sign("{");
  if (tokens_.take_sign("(")) {
    arguments(*made);
  } else if (begins && !ends) {
    made->arguments.push_back({"", postfix(primary())});
    deepen(*made, made->arguments.back().value.get());
  }
  if (!negated) return made;
  ExpressionPtr other = node(Kind::unary, "not");
  add(*other, std::move(made));
  return other;
}

}  // namespace

ExpressionPtr parse_expression(TokenStream& tokens) {
  ExpressionPtr made = ExpressionParser(tokens).conditional();
  if (tokens.is_sign(",")) tokens.fail("a tuple is not known here");
  return made;
}

ExpressionPtr parse_without_condition(TokenStream& tokens) {
  ExpressionPtr made = ExpressionParser(tokens).either();
  if (tokens.is_sign(",")) tokens.fail("a tuple is not known here");
  return made;
}

const Token& TokenStream::peek(std::size_t ahead) const {
  return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
}

const Token& TokenStream::take() {
  const Token& token = peek();
  at_ = std::min(at_ + 1, tokens_.size() - 1);
  return token;
}

bool TokenStream::is_sign(std::string_view sign) const {
  return peek().kind == Token::Kind::sign && peek().text == sign;
}

bool TokenStream::is_word(std::string_view word) const {
  return peek().kind == Token::Kind::name && peek().text == word;
}

bool TokenStream::take_sign(std::string_view sign) {
  const bool is = is_sign(sign);
  if (is) take();
  return is;
}

bool TokenStream::take_word(std::string_view word) {
  const bool is = is_word(word);
  if (is) take();
  return is;
}

Token TokenStream::expect(Token::Kind kind, const std::string& shown) {
  if (peek().kind != kind)
    fail("expected " + shown + (peek().text.empty() ? "" : " before '" + peek().text + "'"));
  return take();
}

void TokenStream::expect_sign(const std::string& sign) {
  if (!take_sign(sign))
    fail("expected '" + sign + "'" + (peek().text.empty() ? "" : " before '" + peek().text + "'"));
}

void TokenStream::fail_unexpected() const {
  fail(peek().text.empty() ? "the tag ends too early" : "'" + peek().text + "' is not expected");
}

}  // namespace plumbline::reference::jinja
