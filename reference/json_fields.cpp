#include "reference/internal/json_fields.h"

#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <utility>

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

}  // namespace

nlohmann::json parse_json_object(std::string_view text, std::string_view where) {
  nlohmann::json value;
  try {
    value = nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& e) {
    throw Error("not valid JSON", where, e.what());
  }
  if (!value.is_object()) throw Error("not a JSON object", where);
  return value;
}

std::string read_text_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path)) throw Error("cannot be read", path.string());
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
