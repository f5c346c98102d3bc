// The variables of a template that runs, what it may still spend, and its expressions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "reference/jinja/functions.h"
#include "reference/jinja/syntax.h"

namespace plumbline::reference::jinja {

class Evaluator {
 public:
  // Both must outlive this.
  Evaluator(const Dict& variables, const std::string& where);

  Value evaluate(const Expression& expression);
  std::string text(const Value& value, int line);
  List items(const Value& value, int line);

  // Names set within a scope end with it; those of outer ones are seen.
  void open_scope() { scopes_.emplace_back(); }
  void close_scope() { scopes_.pop_back(); }
  void set(const std::string& name, Value value) { assign(scopes_.back(), name, std::move(value)); }
  void set_attribute(const std::string& name, const std::string& attribute, Value value, int line);

  // Throws Error when the template has done too much: steps, and bytes of what it makes.
  void spend(std::size_t bytes, int line);
  [[noreturn]] void fail(const std::string& what, int line) const;

 private:
  Value look_up(const std::string& name) const;
  Value attribute(const Value& value, const std::string& name, int line);
  Value item(const Value& value, const Value& key, int line);
  Value slice(const Expression& expression);
  Value call(const Expression& expression);
  Value binary(const Expression& expression);
  Value arithmetic(const std::string& sign, const Value& a, const Value& b, int line);
  Value sum_of(const Value& a, const Value& b, int line);
  Value repeated(const std::string& text, const Value& count, int line);
  Value unary(const Expression& expression);
  Call call_of(const std::string& name, const Expression* arguments, int line);

  const std::string& where_;
  std::vector<Dict> scopes_;
  std::int64_t steps_left_;
  std::int64_t bytes_left_;
};

}  // namespace plumbline::reference::jinja
