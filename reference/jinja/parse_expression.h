// The tokens of a template as they are taken, and expressions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "reference/jinja/lexer.h"
#include "reference/jinja/syntax.h"

namespace plumbline::reference::jinja {

class TokenStream {
 public:
  // Both must outlive this. `tokens` ends with Kind::end.
  TokenStream(const std::vector<Token>& tokens, const std::string& where) : tokens_(tokens), where_(where) {}

  const Token& peek(std::size_t ahead = 0) const;
  const Token& take();
  bool is_sign(std::string_view sign) const;
  bool is_word(std::string_view word) const;
  bool take_sign(std::string_view sign);
  bool take_word(std::string_view word);
  Token expect(Token::Kind kind, const std::string& shown);
  void expect_sign(const std::string& sign);

  [[noreturn]] void fail(const std::string& what) const { fail_at(what, peek().line); }
  [[noreturn]] void fail_at(const std::string& what, int line) const { refuse(what, where_, line); }
  [[noreturn]] void fail_unexpected() const;

 private:
  const std::vector<Token>& tokens_;
  const std::string& where_;
  std::size_t at_ = 0;
};

ExpressionPtr parse_expression(TokenStream& tokens);
// One without "a if b else c" at its top: what follows "in" of a for.
ExpressionPtr parse_without_condition(TokenStream& tokens);

}  // namespace plumbline::reference::jinja
