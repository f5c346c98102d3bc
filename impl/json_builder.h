// What a JSON parser's events make: the value, checked while it is built.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "harness/error.h"

namespace plumbline::native {

// JSON lets a key repeat, and a parser would keep the last; values that nest without end would exhaust the
// stack of whoever walks them. Both are refused while the values are built.
class JsonBuilder : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit JsonBuilder(std::string_view where) : where_(where) {}

  nlohmann::json& root() { return root_; }  // when the text has been parsed without an Error

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }  // JSON text has none
  bool start_object(std::size_t) override { return open(nlohmann::json::object()); }
  bool start_array(std::size_t) override { return open(nlohmann::json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    check_depth();
    auto& object = open_.back()->get_ref<nlohmann::json::object_t&>();
    const auto [at, is_new] = object.try_emplace(std::move(name));
    if (!is_new) throw Error(fmt::format("names '{}' twice", at->first), where_);
    place_ = &at->second;
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception& problem) override {
    throw Error(fmt::format("is not valid JSON: {}", problem.what()), where_);
  }

 protected:
  std::size_t depth() const { return open_.size(); }  // how many objects and arrays are open

 private:
  void check_depth() const {
    if (open_.size() > kMaxDepth) throw Error("is JSON that nests too deep", where_);
  }
  // The next value's place: behind the last key, at an array's end, or the whole.
  nlohmann::json& next() {
    if (open_.empty()) return root_;
    if (open_.back()->is_object()) return *place_;
    return open_.back()->get_ref<nlohmann::json::array_t&>().emplace_back();
  }
  template <typename Value>
  bool add(Value&& value) {
    check_depth();
    next() = std::forward<Value>(value);
    return true;
  }
  bool open(nlohmann::json empty) {
    check_depth();
    nlohmann::json& value = next();
    value = std::move(empty);
    open_.push_back(&value);
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  static constexpr std::size_t kMaxDepth = 32;

  nlohmann::json root_;
  std::string where_;
  std::vector<nlohmann::json*> open_;  // from the outermost; only the last one grows, so that none moves
  nlohmann::json* place_ = nullptr;    // of the last key's value
};

}  // namespace plumbline::native
