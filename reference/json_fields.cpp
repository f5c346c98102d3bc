#include "reference/internal/json_fields.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "harness/error.h"

namespace plumbline::reference {
namespace {

// What a refusal shows of the value it found.
std::string shown(const nlohmann::json& value) {
  constexpr std::size_t kLongest = 60;
  std::string text = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "…";
  return text;
}

std::string plain(double value) {
  return shown(nlohmann::json(value));
}

// The deepest nesting of brackets outside of strings, found before anything is built that nests as deep.
int nesting(std::string_view text) {
  int depth = 0;
  int deepest = 0;
  bool in_string = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (in_string && c == '\\') ++at;
    if (c == '"') in_string = !in_string;
    if (in_string) continue;
    if (c == '[' || c == '{') deepest = std::max(deepest, ++depth);
    if (c == ']' || c == '}') --depth;
  }
  return deepest;
}

// nlohmann keeps the last of two values with one key; a file that says two things is refused.
nlohmann::json parse_unambiguous(std::string_view text, std::string_view where) {
  std::vector<std::set<std::string>> objects;
  return nlohmann::json::parse(text, [&](int, nlohmann::json::parse_event_t event, nlohmann::json& name) {
    switch (event) {
      case nlohmann::json::parse_event_t::object_start:
        objects.emplace_back();
        break;
      case nlohmann::json::parse_event_t::object_end:
        objects.pop_back();
        break;
      case nlohmann::json::parse_event_t::key:
        if (!objects.back().insert(name.get<std::string>()).second) {
          throw Error("has the key '" + name.get<std::string>() + "' twice", where);
        }
        break;
      default:
        break;
    }
    return true;
  });
}

}  // namespace

nlohmann::json parse_json_object(std::string_view text, std::string_view where) {
  constexpr int kDeepest = 40;
  if (nesting(text) > kDeepest) throw Error("JSON that nests too deep", where);
  nlohmann::json value;
  try {
    value = parse_unambiguous(text, where);
  } catch (const nlohmann::json::exception& e) {
    throw Error("not valid JSON", where, e.what());
  }
  if (!value.is_object()) throw Error("not a JSON object", where);
  return value;
}

std::string read_text_file(const std::filesystem::path& path) {
  constexpr std::uintmax_t kLargest = 1 << 28;
  std::error_code failure;
  const std::uintmax_t size = std::filesystem::file_size(path, failure);  // fails for what is no regular file
  if (failure) throw Error("cannot be read", path.string(), failure.message());
  if (size > kLargest) throw Error("is too large for such a file", path.string());
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error("cannot be read", path.string());
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad()) throw Error("cannot be read to its end", path.string());
  return text;
}

JsonFields::JsonFields(const nlohmann::json& object, std::string where)
    : object_(object), where_(std::move(where)) {}

bool JsonFields::has(const char* key) const {
  const auto found = object_.find(key);
  return found != object_.end() && !found->is_null();
}

void JsonFields::refuse(const char* key, std::string_view problem, std::string_view hint) const {
  const std::string value = present(key) ? " is " + shown(object_.at(key)) : "";
  throw Error(std::string(key) + value + ": " + std::string(problem), where_, hint);
}

std::int64_t JsonFields::checked_integer(const char* key, const nlohmann::json& value, std::int64_t low,
                                         std::int64_t high) const {
  if (!value.is_number_integer()) refuse(key, "must be an integer");
  const bool too_large =
      value.is_number_unsigned() &&
      value.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  const std::int64_t number =
      too_large ? std::numeric_limits<std::int64_t>::max() : value.get<std::int64_t>();
  const bool ok = !too_large && number >= low && number <= high;
  if (!ok) refuse(key, "must lie between " + std::to_string(low) + " and " + std::to_string(high));
  return number;
}

double JsonFields::checked_number(const char* key, const nlohmann::json& value, double low,
                                  double high) const {
  if (!value.is_number()) refuse(key, "must be a number");
  const double number = value.get<double>();
  const bool ok = std::isfinite(number) && number >= low && number <= high;
  if (!ok) refuse(key, "must lie between " + plain(low) + " and " + plain(high));
  return number;
}

std::int64_t JsonFields::integer(const char* key, std::int64_t fallback, std::int64_t low,
                                 std::int64_t high) const {
  return present(key) ? checked_integer(key, at(key), low, high) : fallback;
}

std::optional<std::int64_t> JsonFields::optional_integer(const char* key, std::int64_t low,
                                                         std::int64_t high) const {
  if (!has(key)) return std::nullopt;
  return checked_integer(key, at(key), low, high);
}

double JsonFields::number(const char* key, double fallback, double low, double high) const {
  return present(key) ? checked_number(key, at(key), low, high) : fallback;
}

std::optional<double> JsonFields::optional_number(const char* key, double low, double high) const {
  if (!has(key)) return std::nullopt;
  return checked_number(key, at(key), low, high);
}

bool JsonFields::boolean(const char* key, bool fallback) const {
  if (!present(key)) return fallback;
  if (!at(key).is_boolean()) refuse(key, "must be true or false");
  return at(key).get<bool>();
}

std::string JsonFields::text(const char* key, std::string_view fallback) const {
  if (!present(key)) return std::string(fallback);
  if (!at(key).is_string()) refuse(key, "must be a string");
  return at(key).get<std::string>();
}

std::string JsonFields::optional_text(const char* key) const {
  return has(key) ? text(key, "") : "";
}

std::vector<std::int64_t> JsonFields::integers(const char* key, std::int64_t low, std::int64_t high) const {
  std::vector<std::int64_t> numbers;
  if (!has(key)) return numbers;
  if (!at(key).is_array()) return {checked_integer(key, at(key), low, high)};
  for (const nlohmann::json& item : at(key)) numbers.push_back(checked_integer(key, item, low, high));
  return numbers;
}

}  // namespace plumbline::reference
