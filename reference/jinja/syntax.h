// A template as a tree.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "reference/jinja/value.h"

namespace plumbline::reference::jinja {

struct Expression {
  enum class Kind {
    constant,     // value
    name,         // text
    list,         // parts
    dict,         // parts: key, value, key, value, …
    attribute,    // parts[0].text
    item,         // parts[0][parts[1]]
    slice,        // parts[0][parts[1]:parts[2]:parts[3]], any of the three null
    call,         // parts[0](arguments)
    filter,       // parts[0] | text(arguments)
    test,         // parts[0] is text(arguments)
    unary,        // text: not - +
    binary,       // parts[0] text parts[1]
    conditional,  // parts[1] if parts[0] else parts[2], which may be null
  };
  struct Named {
    std::string name;  // empty for one by position
    std::unique_ptr<Expression> value;
  };
  Kind kind;
  int line = 0;
  int depth = 1;  // of the tree below and with it
  std::string text = {};
  Value value = {};
  std::vector<std::unique_ptr<Expression>> parts = {};
  std::vector<Named> arguments = {};
};
using ExpressionPtr = std::unique_ptr<Expression>;

struct Statement;
using Block = std::vector<Statement>;

struct Statement {
  enum class Kind {
    text,       // name
    output,     // expression
    branches,   // if: conditions[i] for blocks[i]; one block more is the else
    loop,       // for: targets in expression, where conditions[0]; blocks: body, else
    set,        // name, or name.attribute, = expression
    set_block,  // name = blocks[0], rendered
    quit,       // break
    next,       // continue
    group,      // blocks[0], as it is: transformers' "generation"
  };
  Kind kind;
  int line = 0;
  std::string name = {};
  std::string attribute = {};
  std::vector<std::string> targets = {};
  ExpressionPtr expression = {};
  std::vector<ExpressionPtr> conditions = {};
  std::vector<Block> blocks = {};
};

// Throws Error naming `where` and the line: for what is no Jinja, for a construct that is not known here, by
// its name, and for a template that nests too deep.
Block parse(std::string_view source, const std::string& where);

}  // namespace plumbline::reference::jinja
