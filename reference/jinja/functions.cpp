#include "reference/jinja/functions.h"

#include <algorithm>
#include <initializer_list>
#include <stdexcept>

#include "harness/error.h"
#include "reference/jinja/json.h"

namespace plumbline::reference::jinja {
namespace {

constexpr std::int64_t kLongestRange = 100'000;  // as Jinja's sandbox has it

[[noreturn]] void fail(const Call& call, const std::string& what) {
  call.fail(what);
  throw InternalError("a template's call was refused and went on");
}

const std::string& need_text(const Value& value, const Call& call) {
  if (value.text() == nullptr) fail(call, "'" + call.name + "' of " + type_name(value));
  return *value.text();
}

const std::string* optional_text(const Call& call, std::size_t position, std::string_view key) {
  const Value* given = call.argument(position, key);
  return given == nullptr || given->as<None>() != nullptr ? nullptr : &need_text(*given, call);
}

std::int64_t length_of(const Value& value, const Call& call) {
  if (value.is_undefined()) return 0;
  if (value.dict() != nullptr) return static_cast<std::int64_t>(value.dict()->size());
  return static_cast<std::int64_t>(items_of(value, call).size());
}

std::string changed_case(const std::string& text, bool upper, const Call& call) {
  std::string out;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) > 0x7F)
      fail(call, "'" + call.name + "' of letters beyond ASCII is not known here");
    const bool goes = upper ? c >= 'a' && c <= 'z' : c >= 'A' && c <= 'Z';
    out += goes ? static_cast<char>(c ^ 0x20) : c;
  }
  return out;
}

std::string replaced(const std::string& text, const Call& call) {
  call.takes(2);
  if (call.given.size() != 2) fail(call, "'replace' needs two texts");
  const std::string &from = need_text(call.given[0], call), &to = need_text(call.given[1], call);
  if (from.empty()) fail(call, "'replace' of an empty text is not known here");
  std::string out;
  std::size_t at = 0;
  for (std::size_t found = text.find(from); found != std::string::npos; found = text.find(from, at)) {
    out.append(text, at, found - at).append(to);
    at = found + from.size();
  }
  return out.append(text, at);
}

List split(const std::string& text, const Call& call) {
  call.takes(1, {"sep"});
  const std::string* separator = optional_text(call, 0, "sep");
  if (separator == nullptr || separator->empty()) fail(call, "'split' without a separator is not known here");
  List parts;
  std::size_t at = 0;
  for (std::size_t found = text.find(*separator); found != std::string::npos;
       found = text.find(*separator, at)) {
    parts.emplace_back(text.substr(at, found - at));
    at = found + separator->size();
  }
  parts.emplace_back(text.substr(at));
  return parts;
}

List pairs_of(const Dict& dict) {
  List pairs;
  for (const auto& [key, value] : dict) pairs.push_back(Value(List{key, value}));
  return pairs;
}

std::string joined(const Value& value, const Call& call) {
  call.takes(1, {"d"});
  const Value* separator = call.argument(0, "d");
  const std::string between = separator == nullptr ? "" : text_of(*separator, call);
  std::string out;
  bool first = true;
  for (const Value& each : items_of(value, call)) {
    if (!first) out += between;
    out += text_of(each, call);
    first = false;
  }
  return out;
}

Value default_of(const Value& value, const Call& call) {
  call.takes(2, {"default_value", "boolean"});
  const Value *other = call.argument(0, "default_value"), *boolean = call.argument(1, "boolean");
  const bool replaces = value.is_undefined() || (boolean != nullptr && truth(*boolean) && !truth(value));
  if (!replaces) return value;
  return other == nullptr ? Value("") : *other;
}

Value as_json(const Value& value, const Call& call) {
  call.takes(1, {"ensure_ascii"});
  const Value* ascii = call.argument(0, "ensure_ascii");
  if (ascii != nullptr && truth(*ascii)) fail(call, "'tojson' with ensure_ascii is not known here");
  try {
    return write_json(value);
  } catch (const std::invalid_argument& problem) {
    fail(call, std::string("'tojson': ") + problem.what());
  }
}

Value attribute_of(const Value& value, const Value& name, const Call& call) {
  const Value* found = value.dict() == nullptr ? nullptr : find(*value.dict(), need_text(name, call));
  return found == nullptr ? Value(Undefined{need_text(name, call)}) : *found;
}

// select, reject, selectattr, rejectattr and map, which is known with an attribute alone.
Value chosen(const Value& value, const Call& call) {
  List out;
  if (call.name == "map") {
    const Value* attribute = call.argument(1, "attribute");
    if (attribute == nullptr || !call.given.empty()) fail(call, "'map' with a filter is not known here");
    for (const Value& each : items_of(value, call)) out.push_back(attribute_of(each, *attribute, call));
    return out;
  }
  const bool by_attribute = call.name.ends_with("attr"), wanted = call.name.starts_with("select");
  const std::size_t skipped = by_attribute ? 1 : 0;
  if (call.given.size() < skipped) fail(call, "'" + call.name + "' needs an attribute");
  Call test{"", {}, {}, call.fail};
  if (call.given.size() > skipped) {
    test.name = need_text(call.given[skipped], call);
    test.given.assign(call.given.begin() + static_cast<std::ptrdiff_t>(skipped) + 1, call.given.end());
  }
  for (const Value& each : items_of(value, call)) {
    const Value tried = by_attribute ? attribute_of(each, call.given[0], call) : each;
    if ((test.name.empty() ? truth(tried) : apply_test(tried, test)) == wanted) out.push_back(each);
  }
  return out;
}

bool is_number(const Value& value) {
  return value.as<std::int64_t>() != nullptr || value.as<double>() != nullptr ||
         value.as<BigInteger>() != nullptr || value.as<bool>() != nullptr;
}

}  // namespace

const Value* Call::argument(std::size_t position, std::string_view key) const {
  return position < given.size() ? &given[position] : find(named, key);
}

void Call::takes(std::size_t most, std::initializer_list<std::string_view> keys) const {
  if (given.size() > most) fail("'" + name + "' with so many arguments is not known here");
  for (const auto& [key, value] : named) {
    if (std::ranges::find(keys, key) == keys.end())
      fail("'" + name + "' with '" + key + "' is not known here");
  }
}

std::string text_of(const Value& value, const Call& call) {
  if (value.is_undefined()) return "";
  if (const auto* text = value.text()) return *text;
  if (value.as<None>() != nullptr) return "None";
  if (const auto* boolean = value.as<bool>()) return *boolean ? "True" : "False";
  if (const auto* real = value.as<double>()) return float_text(*real);
  if (const auto* integer = value.as<std::int64_t>()) return std::to_string(*integer);
  if (const auto* big = value.as<BigInteger>()) return big->digits;
  fail(call, type_name(value) + " as text is not known here");
}

List items_of(const Value& value, const Call& call) {
  if (value.is_undefined()) return {};
  if (value.list() != nullptr) return *value.list();
  List items;
  if (const auto* dict = value.dict()) {
    for (const auto& member : *dict) items.emplace_back(member.first);
  } else if (const auto* text = value.text()) {
    for (const std::string_view each : characters(*text)) items.emplace_back(std::string(each));
  } else {
    fail(call, type_name(value) + " has no items");
  }
  return items;
}

bool contains(const Value& container, const Value& value, const Call& call) {
  if (container.text() != nullptr) return container.text()->find(need_text(value, call)) != std::string::npos;
  if (container.dict() != nullptr)
    return value.text() != nullptr && find(*container.dict(), *value.text()) != nullptr;
  return std::ranges::any_of(items_of(container, call),
                             [&](const Value& each) { return equal(each, value); });
}

bool less(const Value& a, const Value& b, const Call& call) {
  if (a.text() != nullptr && b.text() != nullptr) return *a.text() < *b.text();
  const auto *i = a.as<std::int64_t>(), *j = b.as<std::int64_t>();
  if (i != nullptr && j != nullptr) return *i < *j;
  const auto number = [&](const Value& value) {
    const auto* real = value.as<double>();
    return real != nullptr ? *real : static_cast<double>(integer_of(value, call));
  };
  return number(a) < number(b);
}

std::int64_t integer_of(const Value& value, const Call& call) {
  if (const auto* boolean = value.as<bool>()) return *boolean ? 1 : 0;
  if (value.as<std::int64_t>() == nullptr) fail(call, "'" + call.name + "' of " + type_name(value));
  return *value.as<std::int64_t>();
}

Value apply_filter(const Value& value, const Call& call) {
  const std::string& name = call.name;
  if (name == "tojson") return as_json(value, call);
  if (name == "default" || name == "d") return default_of(value, call);
  if (name == "join") return joined(value, call);
  if (name == "replace") return replaced(text_of(value, call), call);
  if (name == "select" || name == "reject" || name == "selectattr" || name == "rejectattr" || name == "map")
    return chosen(value, call);
  if (name == "trim") {
    call.takes(1, {"chars"});
    return stripped(text_of(value, call), true, true, optional_text(call, 0, "chars"));
  }
  call.takes(0);
  if (name == "length" || name == "count") return length_of(value, call);
  if (name == "string") return text_of(value, call);
  if (name == "upper" || name == "lower") return changed_case(text_of(value, call), name == "upper", call);
  if (name == "list") return items_of(value, call);
  if (name == "safe") return value;
  if (name == "items" && value.is_undefined()) return List{};
  if (name == "items" && value.dict() != nullptr) return pairs_of(*value.dict());
  if (name == "first" || name == "last") {
    const List items = items_of(value, call);
    if (items.empty()) return Undefined{name + " of nothing"};
    return name == "first" ? items.front() : items.back();
  }
  if (name == "reverse") {
    List items = items_of(value, call);
    std::ranges::reverse(items);
    if (value.text() == nullptr) return items;
    return joined(items, Call{"reverse", {}, {}, call.fail});
  }
  fail(call, "the filter '" + name + "' of " + type_name(value) + " is not known here");
}

bool apply_test(const Value& value, const Call& call) {
  const std::string& name = call.name;
  const bool compares = name == "eq" || name == "equalto" || name == "==" || name == "ne" || name == "!=";
  if (compares || name == "in" || name == "divisibleby") {
    call.takes(1);
    if (call.given.size() != 1) fail(call, "the test '" + name + "' needs a value");
    const Value& other = call.given[0];
    if (compares) return equal(value, other) == (name == "eq" || name == "equalto" || name == "==");
    if (name == "in") return contains(other, value, call);
    const std::int64_t divisor = integer_of(other, call);
    if (divisor == 0) fail(call, "a division by zero");
    return divisor == -1 || integer_of(value, call) % divisor == 0;
  }
  call.takes(0);
  const auto* boolean = value.as<bool>();
  if (name == "defined") return !value.is_undefined();
  if (name == "undefined") return value.is_undefined();
  if (name == "none") return value.as<None>() != nullptr;
  if (name == "string") return value.text() != nullptr;
  if (name == "mapping") return value.dict() != nullptr;
  if (name == "sequence" || name == "iterable")
    return value.is_undefined() || value.text() != nullptr || value.list() != nullptr ||
           value.dict() != nullptr;
  if (name == "number") return is_number(value);
  if (name == "integer") return boolean == nullptr && is_number(value) && value.as<double>() == nullptr;
  if (name == "float") return value.as<double>() != nullptr;
  if (name == "boolean") return boolean != nullptr;
  if (name == "true") return boolean != nullptr && *boolean;
  if (name == "false") return boolean != nullptr && !*boolean;
  if (name == "even") return integer_of(value, call) % 2 == 0;
  if (name == "odd") return integer_of(value, call) % 2 != 0;
  fail(call, "the test '" + name + "' is not known here");
}

Value call_method(const Value& value, const Call& call) {
  const std::string& name = call.name;
  if (const auto* text = value.text()) {
    if (name == "startswith" || name == "endswith") {
      call.takes(1);
      const std::string* end = optional_text(call, 0, "");
      if (end == nullptr) fail(call, "'" + name + "' needs a text");
      return name == "startswith" ? text->starts_with(*end) : text->ends_with(*end);
    }
    if (name == "strip" || name == "lstrip" || name == "rstrip") {
      call.takes(1);
      return stripped(*text, name != "rstrip", name != "lstrip", optional_text(call, 0, ""));
    }
    if (name == "split") return split(*text, call);
    if (name == "replace") return replaced(*text, call);
    if (name == "upper" || name == "lower") {
      call.takes(0);
      return changed_case(*text, name == "upper", call);
    }
  }
  if (const auto* dict = value.dict()) {
    if (name == "get") {
      call.takes(2);
      if (call.given.empty()) fail(call, "'get' needs a key");
      const Value* found = find(*dict, need_text(call.given[0], call));
      if (found != nullptr) return *found;
      return call.given.size() > 1 ? call.given[1] : Value(None{});
    }
    call.takes(0);
    if (name == "items") return pairs_of(*dict);
    if (name == "keys") return items_of(value, call);
    if (name == "values") {
      List values;
      for (const auto& member : *dict) values.push_back(member.second);
      return values;
    }
  }
  fail(call, "the method '" + name + "' of " + type_name(value) + " is not known here");
}

Value call_function(const Call& call) {
  if (call.name == "raise_exception") {
    call.takes(1, {"message"});
    const Value* message = call.argument(0, "message");
    fail(call, "the template refuses: " + (message == nullptr ? std::string() : text_of(*message, call)));
  }
  if (call.name == "namespace" || call.name == "dict") {
    if (!call.given.empty()) fail(call, "'" + call.name + "' of a value is not known here");
    for (const auto& member : call.named) {
      if (member.second.name_space() != nullptr)
        fail(call, "a namespace within a namespace is not known here");
    }
    return call.name == "dict" ? Value(call.named) : Value::make_namespace(call.named);
  }
  if (call.name == "range") {
    call.takes(3);
    if (call.given.empty()) fail(call, "'range' needs a number");
    const bool one = call.given.size() == 1;
    const std::int64_t begin = one ? 0 : integer_of(call.given[0], call);
    const std::int64_t end = integer_of(call.given[one ? 0 : 1], call);
    const std::int64_t step = call.given.size() < 3 ? 1 : integer_of(call.given[2], call);
    if (step == 0) fail(call, "'range' with steps of 0");
    List list;
    for (std::int64_t at = begin; step > 0 ? at < end : at > end;) {
      if (static_cast<std::int64_t>(list.size()) == kLongestRange) fail(call, "'range' is too long");
      list.emplace_back(at);
      if (__builtin_add_overflow(at, step, &at)) break;
    }
    return list;
  }
  fail(call, "the function '" + call.name + "' is not known here");
}

}  // namespace plumbline::reference::jinja
