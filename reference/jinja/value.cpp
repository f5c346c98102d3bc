#include "reference/jinja/value.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <stdexcept>

namespace plumbline::reference::jinja {
namespace {

int around(int deepest) {
  if (deepest >= Value::kDeepest) throw std::length_error("values nest too deep");
  return deepest + 1;
}

std::optional<double> number(const Value& value) {
  if (const auto* b = value.as<bool>()) return *b ? 1.0 : 0.0;
  if (const auto* i = value.as<std::int64_t>()) return static_cast<double>(*i);
  if (const auto* d = value.as<double>()) return *d;
  return std::nullopt;
}

std::optional<std::int64_t> integer(const Value& value) {
  if (const auto* b = value.as<bool>()) return *b ? 1 : 0;
  if (const auto* i = value.as<std::int64_t>()) return *i;
  return std::nullopt;
}

bool equal_dicts(const Dict& a, const Dict& b) {
  return a.size() == b.size() && std::ranges::all_of(a, [&](const auto& member) {
           const Value* other = find(b, member.first);
           return other != nullptr && equal(member.second, *other);
         });
}

// What Python's str.isspace() holds for, among the characters of one encoded text.
bool is_space(std::string_view character) {
  constexpr std::string_view kWide[] = {"\u0085", "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003",
                                        "\u2004", "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
                                        "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"};
  if (character.size() > 1) return std::ranges::find(kWide, character) != std::end(kWide);
  const char c = character.front();
  return c == ' ' || (c >= '\t' && c <= '\r') || (c >= '\x1c' && c <= '\x1f');
}

// d.ddd times ten to the exponent.
struct Decimal {
  std::string digits;
  int exponent = 0;
  double value() const {
    const int last = exponent - static_cast<int>(digits.size()) + 1;
    return std::strtod((digits + "e" + std::to_string(last)).c_str(), nullptr);
  }
};

// Not negative, not infinite. Of each length the nearest decimal is tried, and the next one above: below a
// power of two the doubles lie closer, so that the nearest may read back as another one where that does not.
Decimal shortest(double value) {
  for (int more = 0;; ++more) {
    char buffer[40];
    std::snprintf(buffer, sizeof buffer, "%.*e", more, value);
    const std::string scientific = buffer;
    const std::size_t e = scientific.find('e');
    Decimal decimal{scientific.substr(0, e), std::atoi(scientific.c_str() + e + 1)};
    std::erase(decimal.digits, '.');
    if (decimal.value() == value || more >= 16) return decimal;
    if (decimal.digits.back() == '9') continue;
    ++decimal.digits.back();
    if (decimal.value() == value) return decimal;
  }
}

}  // namespace

Value::Value(List list) {
  int deepest = 0;
  for (const Value& each : list) deepest = std::max(deepest, each.depth());
  depth_ = around(deepest);
  data_ = std::make_shared<List>(std::move(list));
}

Value::Value(Dict dict) {
  int deepest = 0;
  for (const auto& [key, value] : dict) deepest = std::max(deepest, value.depth());
  depth_ = around(deepest);
  data_ = std::make_shared<Dict>(std::move(dict));
}

Value Value::make_namespace(Dict attributes) {
  Value made;
  made.depth_ = kDeepest;  // nothing may hold one, so that none holds itself
  made.data_ = std::make_shared<Namespace>(Namespace{std::move(attributes)});
  return made;
}

const Value* find(const Dict& dict, std::string_view key) {
  const auto found =
      std::ranges::find(dict, key, [](const auto& member) { return std::string_view(member.first); });
  return found == dict.end() ? nullptr : &found->second;
}

void assign(Dict& dict, const std::string& key, Value value) {
  for (auto& [name, held] : dict) {
    if (name != key) continue;
    held = std::move(value);
    return;
  }
  dict.emplace_back(key, std::move(value));
}

bool truth(const Value& value) {
  if (value.is_undefined() || value.as<None>() != nullptr) return false;
  if (const auto* text = value.text()) return !text->empty();
  if (const auto* list = value.list()) return !list->empty();
  if (const auto* dict = value.dict()) return !dict->empty();
  const std::optional<double> scalar = number(value);
  return !scalar || *scalar != 0;
}

bool equal(const Value& a, const Value& b) {
  if (const auto i = integer(a), j = integer(b); i && j) return *i == *j;
  if (const auto x = number(a), y = number(b); x && y) return *x == *y;
  if (a.text() != nullptr && b.text() != nullptr) return *a.text() == *b.text();
  if (a.list() != nullptr && b.list() != nullptr) return std::ranges::equal(*a.list(), *b.list(), equal);
  if (a.dict() != nullptr && b.dict() != nullptr) return equal_dicts(*a.dict(), *b.dict());
  if (const auto* x = a.as<BigInteger>(), *y = b.as<BigInteger>(); x != nullptr && y != nullptr)
    return x->digits == y->digits;
  if (a.name_space() != nullptr) return a.name_space() == b.name_space();
  return (a.is_undefined() && b.is_undefined()) || (a.as<None>() != nullptr && b.as<None>() != nullptr);
}

std::string type_name(const Value& value) {
  if (const auto* undefined = value.as<Undefined>()) return "'" + undefined->name + "', which is undefined";
  if (value.as<None>() != nullptr) return "none";
  if (value.as<bool>() != nullptr) return "a boolean";
  if (value.text() != nullptr) return "a text";
  if (value.list() != nullptr) return "a list";
  if (value.dict() != nullptr) return "a mapping";
  return value.name_space() != nullptr ? "a namespace" : "a number";
}

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  const std::string sign = std::signbit(value) ? "-" : "";
  const Decimal decimal = shortest(std::fabs(value));
  const int exponent = decimal.exponent;
  const auto count = static_cast<int>(decimal.digits.size());
  const auto zeros = [](int many) { return std::string(static_cast<std::size_t>(std::max(many, 0)), '0'); };
  if (exponent < -4 || exponent > 15) {
    const std::string rest = decimal.digits.substr(1), size = std::to_string(std::abs(exponent));
    return sign + decimal.digits[0] + (rest.empty() ? "" : "." + rest) + (exponent < 0 ? "e-" : "e+") +
           (size.size() < 2 ? "0" : "") + size;
  }
  if (exponent < 0) return sign + "0." + zeros(-exponent - 1) + decimal.digits;
  const std::string padded = decimal.digits + zeros(exponent + 1 - count);
  const auto whole = static_cast<std::size_t>(exponent) + 1;
  return sign + padded.substr(0, whole) + "." + (padded.size() > whole ? padded.substr(whole) : "0");
}

std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> list;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at + 1;
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) ++end;
    list.push_back(text.substr(at, end - at));
    at = end;
  }
  return list;
}

std::string stripped(std::string_view text, bool left, bool right, const std::string* set) {
  const std::vector<std::string_view> all = characters(text);
  const std::vector<std::string_view> given =
      set == nullptr ? std::vector<std::string_view>{} : characters(*set);
  const auto goes = [&](std::string_view character) {
    return set == nullptr ? is_space(character) : std::ranges::find(given, character) != given.end();
  };
  std::size_t begin = 0, end = all.size();
  while (left && begin < end && goes(all[begin])) ++begin;
  while (right && end > begin && goes(all[end - 1])) --end;
  if (begin == end) return "";
  const char* first = all[begin].data();
  return {first, static_cast<std::size_t>(all[end - 1].data() + all[end - 1].size() - first)};
}

}  // namespace plumbline::reference::jinja
