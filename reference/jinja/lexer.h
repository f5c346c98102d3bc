// A template as tokens, with white space taken as transformers sets Jinja up: trim_blocks and lstrip_blocks
// are on, and one line end at the end of the template goes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace plumbline::reference::jinja {

struct Token {
  enum class Kind {
    text,
    output_begin,
    output_end,
    block_begin,
    block_end,
    name,
    literal,
    integer,
    real,
    sign,
    end
  };
  Kind kind;
  std::string text;  // a literal's is unescaped
  int line;
};

// Throws Error naming `where` and the line.
std::vector<Token> tokenize(std::string_view source, const std::string& where);

// The Error of a template: "WHERE, line N of the template: WHAT".
[[noreturn]] void refuse(const std::string& what, const std::string& where, int line);

}  // namespace plumbline::reference::jinja
