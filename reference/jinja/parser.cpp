#include <algorithm>
#include <initializer_list>

#include "reference/jinja/lexer.h"
#include "reference/jinja/parse_expression.h"
#include "reference/jinja/syntax.h"

namespace plumbline::reference::jinja {
namespace {

constexpr int kDeepestBlock = 50;

class Parser {
 public:
  Parser(const std::vector<Token>& tokens, const std::string& where) : tokens_(tokens, where) {}
  Block run() {
    Block block = statements({});
    if (tokens_.peek().kind != Token::Kind::end) tokens_.fail_unexpected();
    return block;
  }

 private:
  using Words = std::initializer_list<std::string_view>;

  // Up to a block that begins with one of these words, whose beginning and word are taken, or the end.
  Block statements(Words until);
  // The rest of a block between tags: `{% if x %}` HERE `{% endif %}`; `last` gets the word that ended it.
  Block body(Words until, const char* opened, int line);
  Statement made(Statement::Kind kind, int line) const {
    Statement statement;
    statement.kind = kind;
    statement.line = line;
    return statement;
  }
  void end_tag() { tokens_.expect(Token::Kind::block_end, "%}"); }
  Statement output();
  Statement tag();
  Statement branches(int line);
  Statement loop(int line);
  Statement set(int line);
  Statement group(int line);

  TokenStream tokens_;
  std::string last_;  // the word that ended the latest block
  int depth_ = 0;
  int loops_ = 0;  // that are open
};

Block Parser::statements(Words until) {
  Block block;
  while (tokens_.peek().kind != Token::Kind::end) {
    const Token& next = tokens_.peek();
    if (next.kind == Token::Kind::text) {
      block.push_back(made(Statement::Kind::text, next.line));
      block.back().name = tokens_.take().text;
    } else if (next.kind == Token::Kind::output_begin) {
      block.push_back(output());
    } else {
      tokens_.expect(Token::Kind::block_begin, "{%");
      const std::string& word = tokens_.peek().text;
      if (tokens_.peek().kind == Token::Kind::name && std::ranges::find(until, word) != until.end()) {
        last_ = tokens_.take().text;
        return block;
      }
      block.push_back(tag());
    }
  }
  last_.clear();
  return block;
}

Block Parser::body(Words until, const char* opened, int line) {
  if (++depth_ > kDeepestBlock) tokens_.fail("blocks nest too deep");
  Block block = statements(until);
  if (last_.empty()) tokens_.fail_at(std::string("'") + opened + "' does not end", line);
  --depth_;
  return block;
}

Statement Parser::output() {
  Statement statement = made(Statement::Kind::output, tokens_.take().line);
  statement.expression = parse_expression(tokens_);
  tokens_.expect(Token::Kind::output_end, "}}");
  return statement;
}

Statement Parser::tag() {
  const Token word = tokens_.expect(Token::Kind::name, "a word");
  if (word.text == "if") return branches(word.line);
  if (word.text == "for") return loop(word.line);
  if (word.text == "set") return set(word.line);
  if (word.text == "generation") return group(word.line);
  if (word.text == "break" || word.text == "continue") {
    if (loops_ == 0) tokens_.fail_at("'" + word.text + "' stands in no 'for'", word.line);
    end_tag();
    return made(word.text == "break" ? Statement::Kind::quit : Statement::Kind::next, word.line);
  }
  tokens_.fail_at("the tag '" + word.text + "' is not known here", word.line);
}

Statement Parser::branches(int line) {
  Statement statement = made(Statement::Kind::branches, line);
  do {
    statement.conditions.push_back(parse_expression(tokens_));
    end_tag();
    statement.blocks.push_back(body({"elif", "else", "endif"}, "if", line));
  } while (last_ == "elif");
  if (last_ == "else") {
    end_tag();
    statement.blocks.push_back(body({"endif"}, "if", line));
  }
  end_tag();
  return statement;
}

Statement Parser::loop(int line) {
  Statement statement = made(Statement::Kind::loop, line);
  do {
    statement.targets.push_back(tokens_.expect(Token::Kind::name, "a name").text);
  } while (tokens_.take_sign(","));
  if (!tokens_.take_word("in")) tokens_.fail_unexpected();
  statement.expression = parse_without_condition(tokens_);
  if (tokens_.take_word("if")) statement.conditions.push_back(parse_expression(tokens_));
  if (tokens_.is_word("recursive")) tokens_.fail("a recursive 'for' is not known here");
  end_tag();
  ++loops_;
  statement.blocks.push_back(body({"else", "endfor"}, "for", line));
  --loops_;
  if (last_ == "else") {
    end_tag();
    statement.blocks.push_back(body({"endfor"}, "for", line));
  }
  end_tag();
  return statement;
}

Statement Parser::set(int line) {
  Statement statement = made(Statement::Kind::set, line);
  statement.name = tokens_.expect(Token::Kind::name, "a name").text;
  if (tokens_.take_sign(".")) statement.attribute = tokens_.expect(Token::Kind::name, "a name").text;
  if (tokens_.take_sign("=")) {
    statement.expression = parse_expression(tokens_);
    end_tag();
    return statement;
  }
  if (tokens_.peek().kind != Token::Kind::block_end)
    tokens_.fail("'set' of several names or with a filter is not known here");
  end_tag();
  statement.kind = Statement::Kind::set_block;
  statement.blocks.push_back(body({"endset"}, "set", line));
  end_tag();
  return statement;
}

Statement Parser::group(int line) {
  Statement statement = made(Statement::Kind::group, line);
  end_tag();
  statement.blocks.push_back(body({"endgeneration"}, "generation", line));
  end_tag();
  return statement;
}

}  // namespace

Block parse(std::string_view source, const std::string& where) {
  const std::vector<Token> tokens = tokenize(source, where);
  return Parser(tokens, where).run();
}

}  // namespace plumbline::reference::jinja
