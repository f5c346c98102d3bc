// The filters, tests, methods and functions that chat templates use.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "reference/jinja/value.h"

namespace plumbline::reference::jinja {

// One call: what is called, what it was given, and how to refuse it.
struct Call {
  std::string name;
  std::vector<Value> given;  // by position; of a filter, a test and a method without the value itself
  Dict named;
  std::function<void(const std::string& what)> fail;  // throws Error with the template's line

  // An argument by position or by name; null where it was not given.
  const Value* argument(std::size_t position, std::string_view key) const;
  // Refuses more arguments than these.
  void takes(std::size_t most, std::initializer_list<std::string_view> keys = {}) const;
};

// All refuse names and arguments that they do not know.
Value apply_filter(const Value& value, const Call& call);
bool apply_test(const Value& value, const Call& call);
Value call_method(const Value& value, const Call& call);
Value call_function(const Call& call);

// Python's str(); refuses lists, mappings and namespaces.
std::string text_of(const Value& value, const Call& call);
// What a for goes through: the items of a list, the keys of a mapping, the characters of a text.
List items_of(const Value& value, const Call& call);
bool contains(const Value& container, const Value& value, const Call& call);
// a < b; refuses what Python does.
bool less(const Value& a, const Value& b, const Call& call);
std::int64_t integer_of(const Value& value, const Call& call);

}  // namespace plumbline::reference::jinja
