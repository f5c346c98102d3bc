// Typed fields of a JSON object. Every refusal is one line that names the file and the field.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace plumbline::reference {

// Throws Error for text that is not a JSON object.
nlohmann::json parse_json_object(std::string_view text, std::string_view where);

// The bytes of a file. Throws Error when it cannot be read.
std::string read_text_file(const std::filesystem::path& path);

// The methods with a `fallback` give it for an absent field, and refuse null; the optional_ ones take null
// for absent. All throw Error for another type or a value outside [low, high].
class JsonFields {
 public:
  // `object` must outlive this.
  JsonFields(const nlohmann::json& object, std::string where);

  const std::string& where() const { return where_; }
  bool present(const char* key) const { return object_.contains(key); }
  bool has(const char* key) const;  // present, and not null
  const nlohmann::json& at(const char* key) const { return object_.at(key); }

  std::int64_t integer(const char* key, std::int64_t fallback, std::int64_t low, std::int64_t high) const;
  std::optional<std::int64_t> optional_integer(const char* key, std::int64_t low, std::int64_t high) const;
  double number(const char* key, double fallback, double low, double high) const;
  std::optional<double> optional_number(const char* key, double low, double high) const;
  bool boolean(const char* key, bool fallback) const;
  std::string text(const char* key, std::string_view fallback) const;
  std::string optional_text(const char* key) const;  // empty for absent
  // One integer or a list of them; empty for absent.
  std::vector<std::int64_t> integers(const char* key, std::int64_t low, std::int64_t high) const;

  [[noreturn]] void refuse(const char* key, std::string_view problem, std::string_view hint = {}) const;

 private:
  std::int64_t checked_integer(const char* key, const nlohmann::json& value, std::int64_t low,
                               std::int64_t high) const;
  double checked_number(const char* key, const nlohmann::json& value, double low, double high) const;

  const nlohmann::json& object_;
  std::string where_;
};

}  // namespace plumbline::reference
