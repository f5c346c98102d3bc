#include "reference/jinja/evaluate.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "reference/jinja/lexer.h"

namespace plumbline::reference::jinja {
namespace {

using Kind = Expression::Kind;
constexpr std::int64_t kMostSteps = 20'000'000, kMostBytes = std::int64_t{1} << 30;

// Python's own attributes of a mapping, which a template finds before the mapping's keys.
bool is_method(const std::string& name) {
  constexpr std::string_view kMethods[] = {"clear", "copy",    "fromkeys",   "get",    "items", "keys",
                                           "pop",   "popitem", "setdefault", "update", "values"};
  return std::ranges::find(kMethods, name) != std::end(kMethods);
}

std::size_t size_of(const Value& value) {
  if (value.text() != nullptr) return value.text()->size();
  return sizeof(Value) * (value.list() != nullptr ? value.list()->size() : 1);
}

// Python's slice.indices(): [first, end) in steps, for a sequence of this length.
std::vector<std::size_t> places(std::int64_t length, const Value& begin, const Value& end, std::int64_t step,
                                const Call& call) {
  const auto place = [&](const Value& given, std::int64_t absent) {
    if (given.as<None>() != nullptr) return absent;
    const std::int64_t at = integer_of(given, call);
    const std::int64_t low = step > 0 ? 0 : -1, high = step > 0 ? length : length - 1;
    return at < 0 ? std::max(at < -length ? low : at + length, low) : std::min(at, high);
  };
  const std::int64_t first = place(begin, step > 0 ? 0 : length - 1),
                     last = place(end, step > 0 ? length : -1);
  std::vector<std::size_t> list;
  for (std::int64_t at = first; step > 0 ? at < last : at > last;) {
    list.push_back(static_cast<std::size_t>(at));
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  return list;
}

}  // namespace

Evaluator::Evaluator(const Dict& variables, const std::string& where)
    : where_(where), scopes_{variables}, steps_left_(kMostSteps), bytes_left_(kMostBytes) {}

void Evaluator::fail(const std::string& what, int line) const {
  refuse(what, where_, line);
}

void Evaluator::spend(std::size_t bytes, int line) {
  bytes_left_ -= static_cast<std::int64_t>(bytes);
  if (--steps_left_ < 0 || bytes_left_ < 0) fail("the template does too much", line);
}

Call Evaluator::call_of(const std::string& name, const Expression* arguments, int line) {
  Call call{name, {}, {}, [this, line](const std::string& what) { fail(what, line); }};
  if (arguments == nullptr) return call;
  for (const Expression::Named& each : arguments->arguments) {
    if (each.name.empty()) {
      call.given.push_back(evaluate(*each.value));
    } else {
      assign(call.named, each.name, evaluate(*each.value));
    }
  }
  return call;
}

std::string Evaluator::text(const Value& value, int line) {
  return text_of(value, call_of("text", nullptr, line));
}

List Evaluator::items(const Value& value, int line) {
  return items_of(value, call_of("for", nullptr, line));
}

Value Evaluator::look_up(const std::string& name) const {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    if (const Value* found = find(*scope, name)) return *found;
  }
  return Undefined{name};
}

void Evaluator::set_attribute(const std::string& name, const std::string& attribute, Value value, int line) {
  const Value held = look_up(name);
  Namespace* space = held.name_space();
  if (space == nullptr) fail("'" + name + "' is no namespace", line);
  if (attribute.starts_with('_')) fail("a namespace has no '" + attribute + "'", line);
  if (value.name_space() != nullptr) fail("a namespace within a namespace is not known here", line);
  assign(space->attributes, attribute, std::move(value));
}

Value Evaluator::attribute(const Value& value, const std::string& name, int line) {
  if (value.is_undefined()) fail(type_name(value) + ", has no '" + name + "'", line);
  if (value.dict() != nullptr && is_method(name))
    fail("the method '" + name + "' without a call is not known here", line);
  const Dict* members = value.name_space() != nullptr ? &value.name_space()->attributes : value.dict();
  const Value* found = members == nullptr ? nullptr : find(*members, name);
  return found == nullptr ? Value(Undefined{name}) : *found;
}

Value Evaluator::item(const Value& value, const Value& key, int line) {
  if (value.is_undefined()) fail(type_name(value) + ", has no items", line);
  if (const auto* name = key.text()) {
    const Value* found = value.dict() == nullptr ? nullptr : find(*value.dict(), *name);
    return found == nullptr ? attribute(value, *name, line) : *found;
  }
  const auto* index = key.as<std::int64_t>();
  if (index == nullptr) fail("an index that is " + type_name(key) + " is not known here", line);
  if (value.list() == nullptr && value.text() == nullptr) return Undefined{std::to_string(*index)};
  const List all = value.list() != nullptr ? List{} : items(value, line);
  const List& list = value.list() != nullptr ? *value.list() : all;
  const auto length = static_cast<std::int64_t>(list.size());
  const std::int64_t at = *index < 0 && *index >= -length ? *index + length : *index;
  if (at < 0 || at >= length) return Undefined{"item " + std::to_string(*index)};
  return list[static_cast<std::size_t>(at)];
}

Value Evaluator::slice(const Expression& expression) {
  const int line = expression.line;
  const Value value = evaluate(*expression.parts[0]);
  if (value.list() == nullptr && value.text() == nullptr) fail("a slice of " + type_name(value), line);
  const auto part = [&](std::size_t i) {
    return expression.parts[i] == nullptr ? Value(None{}) : evaluate(*expression.parts[i]);
  };
  const Value begin = part(1), end = part(2), given_step = part(3);
  const Call call = call_of("a slice", nullptr, line);
  const std::int64_t step = given_step.as<None>() != nullptr ? 1 : integer_of(given_step, call);
  if (step == 0) fail("a slice in steps of 0", line);
  const List all = items(value, line);
  spend(all.size() * sizeof(Value), line);
  List chosen;
  std::string text;
  for (const std::size_t at : places(static_cast<std::int64_t>(all.size()), begin, end, step, call)) {
    if (value.text() != nullptr) {
      text += *all[at].text();
    } else {
      chosen.push_back(all[at]);
    }
  }
  return value.text() != nullptr ? Value(std::move(text)) : Value(std::move(chosen));
}

Value Evaluator::call(const Expression& expression) {
  const Expression& called = *expression.parts[0];
  if (called.kind == Kind::attribute) {
    const Value value = evaluate(*called.parts[0]);
    return call_method(value, call_of(called.text, &expression, expression.line));
  }
  if (called.kind != Kind::name) fail("a call of this form is not known here", expression.line);
  if (!look_up(called.text).is_undefined()) fail("'" + called.text + "' is no function", expression.line);
  return call_function(call_of(called.text, &expression, expression.line));
}

Value Evaluator::unary(const Expression& expression) {
  const Value value = evaluate(*expression.parts[0]);
  if (expression.text == "not") return !truth(value);
  if (const auto* real = value.as<double>()) return expression.text == "-" ? -*real : *real;
  return arithmetic(expression.text, std::int64_t{0}, value, expression.line);
}

Value Evaluator::sum_of(const Value& a, const Value& b, int line) {
  if (a.text() != nullptr && b.text() != nullptr) return *a.text() + *b.text();
  if (a.list() != nullptr && b.list() != nullptr) {
    List both = *a.list();
    both.insert(both.end(), b.list()->begin(), b.list()->end());
    return both;
  }
  return arithmetic("+", a, b, line);
}

Value Evaluator::repeated(const std::string& text, const Value& count, int line) {
  std::string out;
  for (std::int64_t left = integer_of(count, call_of("*", nullptr, line)); left > 0; --left) {
    spend(text.size(), line);
    out += text;
  }
  return out;
}

// Of numbers, as in Python: / gives a float, // and % round down.
Value Evaluator::arithmetic(const std::string& sign, const Value& a, const Value& b, int line) {
  const Call call = call_of(sign, nullptr, line);
  if (a.as<double>() != nullptr || b.as<double>() != nullptr || sign == "/") {
    const auto number = [&](const Value& value) {
      return value.as<double>() != nullptr ? *value.as<double>()
                                           : static_cast<double>(integer_of(value, call));
    };
    const double x = number(a), y = number(b);
    if (sign == "+") return x + y;
    if (sign == "-") return x - y;
    if (sign == "*") return x * y;
    if (sign != "/") fail("'" + sign + "' of floats is not known here", line);
    if (y == 0) fail("a division by zero", line);
    return x / y;
  }
  const std::int64_t x = integer_of(a, call), y = integer_of(b, call);
  std::int64_t out = 0;
  bool overflow = false;
  if (sign == "+") overflow = __builtin_add_overflow(x, y, &out);
  if (sign == "-") overflow = __builtin_sub_overflow(x, y, &out);
  if (sign == "*") overflow = __builtin_mul_overflow(x, y, &out);
  if (sign == "//" || sign == "%") {
    if (y == 0) fail("a division by zero", line);
    overflow = y == -1 && x == INT64_MIN;
    const std::int64_t rest = overflow ? 0 : x % y;
    const bool down = rest != 0 && (rest < 0) != (y < 0);
    if (!overflow) out = sign == "%" ? rest + (down ? y : 0) : x / y - (down ? 1 : 0);
  }
  if (overflow) fail("a number is too large", line);
  return out;
}

Value Evaluator::binary(const Expression& expression) {
  const std::string& sign = expression.text;
  const Value a = evaluate(*expression.parts[0]);
  if (sign == "and") return truth(a) ? evaluate(*expression.parts[1]) : a;
  if (sign == "or") return truth(a) ? a : evaluate(*expression.parts[1]);
  const Value b = evaluate(*expression.parts[1]);
  const int line = expression.line;
  if (sign == "==") return equal(a, b);
  if (sign == "!=") return !equal(a, b);
  if (sign == "~") return text(a, line) + text(b, line);
  if (sign == "+") return sum_of(a, b, line);
  if (sign == "*" && a.text() != nullptr) return repeated(*a.text(), b, line);
  const Call call = call_of(sign, nullptr, line);
  if (sign == "in") return contains(b, a, call);
  if (sign == "not in") return !contains(b, a, call);
  if (sign == "<") return less(a, b, call);
  if (sign == ">") return less(b, a, call);
  if (sign == "<=") return less(a, b, call) || equal(a, b);
  if (sign == ">=") return less(b, a, call) || equal(a, b);
  return arithmetic(sign, a, b, line);
}

Value Evaluator::evaluate(const Expression& expression) {
  const auto& parts = expression.parts;
  const int line = expression.line;
  const auto made = [&]() -> Value {
    switch (expression.kind) {
      case Kind::constant:
        return expression.value;
      case Kind::name:
        return look_up(expression.text);
      case Kind::list: {
        List list;
        for (const ExpressionPtr& each : parts) list.push_back(evaluate(*each));
        return list;
      }
      case Kind::dict: {
        Dict dict;
        for (std::size_t i = 0; i < parts.size(); i += 2) {
          const Value key = evaluate(*parts[i]);
          if (key.text() == nullptr) fail("a key that is " + type_name(key) + " is not known here", line);
          assign(dict, *key.text(), evaluate(*parts[i + 1]));
        }
        return dict;
      }
      case Kind::attribute:
        return attribute(evaluate(*parts[0]), expression.text, line);
      case Kind::item: {
        const Value value = evaluate(*parts[0]);
        return item(value, evaluate(*parts[1]), line);
      }
      case Kind::slice:
        return slice(expression);
      case Kind::call:
        return call(expression);
      case Kind::filter: {
        const Value value = evaluate(*parts[0]);
        return apply_filter(value, call_of(expression.text, &expression, line));
      }
      case Kind::test: {
        const Value value = evaluate(*parts[0]);
        return apply_test(value, call_of(expression.text, &expression, line));
      }
      case Kind::unary:
        return unary(expression);
      case Kind::binary:
        return binary(expression);
      case Kind::conditional:
        if (truth(evaluate(*parts[0]))) return evaluate(*parts[1]);
        return parts[2] == nullptr ? Value() : evaluate(*parts[2]);
    }
    fail("an expression of an unknown kind", line);
  };
  try {
    Value value = made();
    const bool is_new = expression.kind != Kind::name && expression.kind != Kind::attribute &&
                        expression.kind != Kind::item && expression.kind != Kind::constant;
    spend(is_new ? size_of(value) : 0, line);
    return value;
  } catch (const std::length_error& problem) {
    fail(problem.what(), line);
  }
}

}  // namespace plumbline::reference::jinja
