#include "impl/chat/python_json.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "harness/error.h"

namespace plumbline::native {
namespace {

constexpr std::size_t kMaxDepth = 80;

// Writes while it is read: each value is text as soon as it ends.
class Writer final : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return put("null"); }
  bool boolean(bool value) override { return put(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { return put(fmt::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return put(fmt::to_string(value)); }
  bool number_float(number_float_t value, const string_t& written) override {
    const bool integer = written.find_first_of(".eE") == string_t::npos;  // of more than 64 bits
    return put(integer ? written : python_float(value));
  }
  bool string(string_t& text) override { return put(nlohmann::json(text).dump()); }
  bool binary(binary_t&) override { return false; }
  bool key(string_t& name) override {
    open_.back().key = nlohmann::json(name).dump() + ": ";
    return true;
  }
  bool start_object(std::size_t) override { return begin('{'); }
  bool start_array(std::size_t) override { return begin('['); }
  bool end_object() override { return end("}"); }
  bool end_array() override { return end("]"); }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& problem) override {
    problem_ = problem.what();
    return false;
  }

  std::string whole;
  const std::string& problem() const { return problem_; }

 private:
  struct Open {
    char bracket;
    std::string key;                                         // of the value that comes
    std::vector<std::pair<std::string, std::string>> parts;  // key, or nothing, and value
  };

  bool begin(char bracket) {
    problem_ = fmt::format("it nests more than {} levels", kMaxDepth);
    if (open_.size() == kMaxDepth) return false;
    open_.push_back({bracket, {}, {}});
    return true;
  }
  bool end(const char* bracket) {
    const Open ended = std::move(open_.back());
    open_.pop_back();
    std::string text(1, ended.bracket);
    for (const auto& [key, value] : ended.parts) {
      if (text.size() > 1) text += ", ";
      text.append(key).append(value);
    }
    return put(text + bracket);
  }
  bool put(std::string text) {
    if (open_.empty()) {
      whole = std::move(text);
      return true;
    }
    Open& parent = open_.back();
    const auto same_key = [&](const auto& part) { return parent.bracket == '{' && part.first == parent.key; };
    const auto found = std::ranges::find_if(parent.parts, same_key);
    if (found == parent.parts.end()) {
      parent.parts.emplace_back(parent.key, std::move(text));
    } else {
      found->second = std::move(text);
    }
    return true;
  }

  std::vector<Open> open_;
  std::string problem_;
};

}  // namespace

std::string python_json(std::string_view json, const std::string& where) {
  Writer writer;
  if (!nlohmann::json::sax_parse(json, &writer)) {
    throw Error(fmt::format("is not valid JSON: {}", writer.problem()), where);
  }
  return std::move(writer.whole);
}

std::string python_json_object(std::string_view json, const std::string& where) {
  std::string text = python_json(json, where);
  if (!text.starts_with('{')) throw Error("is not a JSON object", where);
  return text;
}

std::string python_float(double value) {
  char buffer[32];
  const auto written = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  std::string text(buffer, written.ptr);  // -d.ddde+dd, the shortest that reads back
  const std::size_t e = text.find('e');
  const int exponent = std::atoi(text.c_str() + e + 1);
  if (exponent < -4 || exponent >= 16) return text;
  const auto digits = std::count_if(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(e),
                                    [](char c) { return c >= '0' && c <= '9'; });
  return fmt::format("{:.{}f}", value, std::max(1, static_cast<int>(digits) - 1 - exponent));
}

}  // namespace plumbline::native
