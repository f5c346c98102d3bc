#include "impl/json.h"

#include <cmath>
#include <fstream>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/json_builder.h"

namespace plumbline::native {
namespace {

constexpr std::size_t kShown = 120;

// What a message shows of a value.
std::string shown(const nlohmann::json& value) {
  std::string text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (text.size() > kShown) text = text.substr(0, kShown) + "...";
  return text;
}

}  // namespace

nlohmann::json parse_json_object(std::string_view text, std::string_view where) {
  JsonBuilder builder(where);
  nlohmann::json::sax_parse(text, &builder);
  nlohmann::json parsed = std::move(builder.root());
  if (!parsed.is_object()) throw Error("is not a JSON object", where);
  return parsed;
}

std::string read_text_file(const std::filesystem::path& path, std::uintmax_t limit) {
  std::error_code problem;
  const std::uintmax_t size = std::filesystem::file_size(path, problem);
  if (problem) throw Error(fmt::format("cannot be read: {}", problem.message()), path.string());
  if (size > limit) throw Error(fmt::format("is {} bytes, more than {}", size, limit), path.string());
  std::ifstream file(path, std::ios::binary);
  std::string text(size, '\0');
  file.read(text.data(), static_cast<std::streamsize>(size));
  if (!file) throw Error("cannot be read", path.string());
  return text;
}

bool is_text(const nlohmann::json& value, std::string_view text) {
  return value.is_string() && value.get_ref<const std::string&>() == text;
}

const nlohmann::json* JsonFields::find(const char* name) const {
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void JsonFields::fail(std::string_view name, std::string_view what, std::string_view hint) const {
  throw Error(fmt::format("{} {}", name, what), where_, hint);
}

bool JsonFields::boolean(const char* name, bool absent) const {
  const nlohmann::json* value = find(name);
  if (value == nullptr) return absent;
  if (!value->is_boolean()) fail(name, fmt::format("must be true or false, not {}", shown(*value)));
  return value->get<bool>();
}

double JsonFields::number(const char* name, double absent) const {
  const nlohmann::json* value = find(name);
  if (value == nullptr) return absent;
  if (!value->is_number()) fail(name, fmt::format("must be a number, not {}", shown(*value)));
  const double number = value->get<double>();
  if (!std::isfinite(number)) fail(name, "must be finite");
  return number;
}

std::string JsonFields::string(const char* name, std::string_view absent) const {
  const nlohmann::json* value = find(name);
  if (value == nullptr) return std::string(absent);
  if (!value->is_string()) fail(name, fmt::format("must be a string, not {}", shown(*value)));
  return value->get<std::string>();
}

std::int64_t JsonFields::checked_integer(const nlohmann::json& value, const char* name, std::int64_t low,
                                         std::int64_t high) const {
  if (!value.is_number_integer()) fail(name, fmt::format("must be an integer, not {}", shown(value)));
  // An unsigned value beyond 2^63 must not wrap round to a small one.
  const bool huge = value.is_number_unsigned() && value.get<std::uint64_t>() > std::uint64_t{INT64_MAX};
  const std::int64_t number = huge ? INT64_MAX : value.get<std::int64_t>();
  const bool in_range = !huge && number >= low && number <= high;
  if (!in_range) fail(name, fmt::format("is {}, not between {} and {}", value.dump(), low, high));
  return number;
}

std::int64_t JsonFields::integer(const char* name, std::int64_t absent, std::int64_t low,
                                 std::int64_t high) const {
  return optional_integer(name, low, high).value_or(absent);
}

std::optional<std::int64_t> JsonFields::optional_integer(const char* name, std::int64_t low,
                                                         std::int64_t high) const {
  const nlohmann::json* value = find(name);
  if (value == nullptr) return std::nullopt;
  return checked_integer(*value, name, low, high);
}

std::vector<std::int64_t> JsonFields::integers(const char* name, std::int64_t low, std::int64_t high) const {
  const nlohmann::json* value = find(name);
  if (value == nullptr) return {};
  if (!value->is_array()) return {checked_integer(*value, name, low, high)};
  std::vector<std::int64_t> all;
  for (const nlohmann::json& entry : *value) all.push_back(checked_integer(entry, name, low, high));
  return all;
}

}  // namespace plumbline::native
