// The values of a template: JSON's, "undefined", and namespaces.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace plumbline::reference::jinja {

class Value;
using List = std::vector<Value>;
using Dict = std::vector<std::pair<std::string, Value>>;  // in the order of insertion

struct Undefined {
  std::string name;  // of what was looked for
};
struct None {};
struct BigInteger {
  std::string digits;  // as JSON spells it: beyond 64 bits, to be shown and never computed with
};
struct Namespace {
  Dict attributes;
};

// Immutable but for namespaces, whose copies share their attributes.
class Value {
 public:
  Value() : data_(Undefined{}) {}
  Value(Undefined undefined) : data_(std::move(undefined)) {}
  Value(None) : data_(None{}) {}
  Value(bool value) : data_(value) {}
  Value(std::int64_t value) : data_(value) {}
  Value(double value) : data_(value) {}
  Value(BigInteger value) : data_(std::move(value)) {}
  Value(std::string text) : data_(std::move(text)) {}
  Value(const char* text) : data_(std::string(text)) {}
  // Throw std::length_error beyond kDeepest levels, and for a namespace within.
  Value(List list);
  Value(Dict dict);
  static Value make_namespace(Dict attributes);

  template <typename T>
  const T* as() const {
    return std::get_if<T>(&data_);
  }
  const List* list() const { return shared<List>(); }
  const Dict* dict() const { return shared<Dict>(); }
  Namespace* name_space() const { return shared<Namespace>(); }
  const std::string* text() const { return as<std::string>(); }
  bool is_undefined() const { return as<Undefined>() != nullptr; }
  int depth() const { return depth_; }  // 0 for all but lists, dicts and namespaces

  static constexpr int kDeepest = 100;

 private:
  template <typename T>
  T* shared() const {
    const auto* held = std::get_if<std::shared_ptr<T>>(&data_);
    return held == nullptr ? nullptr : held->get();
  }

  std::variant<Undefined, None, bool, std::int64_t, double, BigInteger, std::string, std::shared_ptr<List>,
               std::shared_ptr<Dict>, std::shared_ptr<Namespace>>
      data_;
  int depth_ = 0;
};

const Value* find(const Dict& dict, std::string_view key);
void assign(Dict& dict, const std::string& key, Value value);  // in its place where the key is there already

bool truth(const Value& value);
bool equal(const Value& a, const Value& b);  // Python's ==
std::string type_name(const Value& value);   // for messages: "a list"

// Python's repr() of a float: the shortest digits that read back as the same number.
std::string float_text(double value);
// The characters of a UTF-8 text, each by itself; a byte that is no UTF-8 is one too.
std::vector<std::string_view> characters(std::string_view text);
// Python's str.strip(): white space, or any of `set`, off the ends that are asked for.
std::string stripped(std::string_view text, bool left, bool right, const std::string* set);

}  // namespace plumbline::reference::jinja
