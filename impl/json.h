// Reading fields out of a checkpoint's JSON files with errors that name the file and the field.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace plumbline::native {

// Throws Error for text that is not JSON, not an object, nests deeper than any checkpoint's, or names a key
// of one object twice.
nlohmann::json parse_json_object(std::string_view text, std::string_view where);

// The bytes of a file. Throws Error when it cannot be read or is larger than `limit` bytes.
std::string read_text_file(const std::filesystem::path& path, std::uintmax_t limit = std::uintmax_t{1} << 28);

// Whether a value is this string.
bool is_text(const nlohmann::json& value, std::string_view text);

// The fields of one JSON object. A field that is absent or null gives the default.
class JsonFields {
 public:
  // `object` must outlive this.
  JsonFields(const nlohmann::json& object, std::string where) : object_(object), where_(std::move(where)) {}

  bool has(const char* name) const { return find(name) != nullptr; }       // there, and not null
  bool present(const char* name) const { return object_.contains(name); }  // there, or null
  const nlohmann::json* find(const char* name) const;                      // nullptr when absent or null
  bool boolean(const char* name, bool absent) const;
  double number(const char* name, double absent) const;  // finite
  std::string string(const char* name, std::string_view absent) const;
  // Between low and high, else Error.
  std::int64_t integer(const char* name, std::int64_t absent, std::int64_t low, std::int64_t high) const;
  std::optional<std::int64_t> optional_integer(const char* name, std::int64_t low, std::int64_t high) const;
  // A single integer or a list of them.
  std::vector<std::int64_t> integers(const char* name, std::int64_t low, std::int64_t high) const;
  const std::string& where() const { return where_; }
  // Throws Error "<name> <what>".
  [[noreturn]] void fail(std::string_view name, std::string_view what, std::string_view hint = {}) const;

 private:
  std::int64_t checked_integer(const nlohmann::json& value, const char* name, std::int64_t low,
                               std::int64_t high) const;

  const nlohmann::json& object_;
  std::string where_;
};

}  // namespace plumbline::native
