#include "reference/jinja/json.h"

#include <cmath>
#include <cstdio>
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "harness/error.h"

namespace plumbline::reference::jinja {
namespace {

// Builds values from the reader's events; its own tree of numbers would lose long integers.
class Builder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return put(None{}); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(std::int64_t{value}); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > INT64_MAX) return put(BigInteger{std::to_string(value)});
    return put(static_cast<std::int64_t>(value));
  }
  bool number_float(number_float_t value, const string_t& spelled) override {
    if (spelled.find_first_of(".eE") == string_t::npos) return put(BigInteger{spelled});
    return put(value);
  }
  bool string(string_t& text) override { return put(std::move(text)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(false); }
  bool start_array(std::size_t) override { return open(true); }
  bool key(string_t& name) override {
    open_.back().key = std::move(name);
    return true;
  }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& problem) override {
    problem_ = problem.what();
    return false;
  }

  Value take() { return std::move(whole_); }
  const std::string& problem() const { return problem_; }

 private:
  struct Open {
    bool is_list = false;
    List list;
    Dict dict;
    std::string key;
  };
  bool open(bool is_list) {
    problem_ = "nests too deep";
    if (open_.size() >= static_cast<std::size_t>(kDeepestJson)) return false;
    open_.push_back({is_list, {}, {}, {}});
    return true;
  }
  bool close() {
    Open closed = std::move(open_.back());
    open_.pop_back();
    return put(closed.is_list ? Value(std::move(closed.list)) : Value(std::move(closed.dict)));
  }
  bool put(Value value) {
    if (open_.empty()) {
      whole_ = std::move(value);
    } else if (open_.back().is_list) {
      open_.back().list.push_back(std::move(value));
    } else {
      assign(open_.back().dict, open_.back().key, std::move(value));
    }
    return true;
  }

  Value whole_;
  std::vector<Open> open_;
  std::string problem_;
};

void append_text(std::string& out, const std::string& text) {
  constexpr std::string_view kShort = "\"\\\n\r\t\f\b", kLetters = "\"\\nrtfb";
  out += '"';
  for (const char c : text) {
    if (const std::size_t at = kShort.find(c); at != std::string_view::npos) {
      out.append("\\").push_back(kLetters[at]);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char buffer[8];
      std::snprintf(buffer, sizeof buffer, "\\u%04x", static_cast<unsigned>(c));
      out += buffer;
    } else {
      out += c;
    }
  }
  out += '"';
}

void append(std::string& out, const Value& value) {
  if (const auto* list = value.list()) {
    for (std::size_t i = 0; i < list->size(); ++i) {
      out += i == 0 ? "[" : ", ";
      append(out, (*list)[i]);
    }
    out += list->empty() ? "[]" : "]";
  } else if (const auto* dict = value.dict()) {
    for (std::size_t i = 0; i < dict->size(); ++i) {
      out += i == 0 ? "{" : ", ";
      append_text(out, (*dict)[i].first);
      out += ": ";
      append(out, (*dict)[i].second);
    }
    out += dict->empty() ? "{}" : "}";
  } else if (const auto* text = value.text()) {
    append_text(out, *text);
  } else if (const auto* truth_value = value.as<bool>()) {
    out += *truth_value ? "true" : "false";
  } else if (const auto* integer = value.as<std::int64_t>()) {
    out += std::to_string(*integer);
  } else if (const auto* big = value.as<BigInteger>()) {
    out += big->digits;
  } else if (const auto* real = value.as<double>()) {
    out += std::isnan(*real)   ? "NaN"
           : std::isinf(*real) ? (*real < 0 ? "-Infinity" : "Infinity")
                               : float_text(*real);
  } else if (value.as<None>() != nullptr) {
    out += "null";
  } else {
    throw std::invalid_argument(type_name(value) + " is not JSON");
  }
}

}  // namespace

Value read_json(std::string_view text, const std::string& where) {
  Builder builder;
  if (!nlohmann::json::sax_parse(text, &builder))
    throw Error("is not valid JSON: " + builder.problem(), where);
  return builder.take();
}

std::string write_json(const Value& value) {
  std::string out;
  append(out, value);
  return out;
}

}  // namespace plumbline::reference::jinja
