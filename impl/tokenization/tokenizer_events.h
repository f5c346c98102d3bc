// tokenizer.json as it is parsed. Vocabulary and merges are nearly all of it, and go straight to where they
// belong: a tree of them would cost more than all the rest of loading.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "impl/json_builder.h"
#include "impl/tokenization/tokenizer_file.h"

namespace plumbline::native {

class TokenizerEvents final : public JsonBuilder {
 public:
  // Fills vocab and merges of `file`, which names the file. In the value that is built both are empty. Throws
  // Error for an id that is none, and for a merge that is no pair of texts.
  explicit TokenizerEvents(TokenizerFile& file) : JsonBuilder(file.where), file_(file) {}

  bool null() override { return list_ == List::none ? JsonBuilder::null() : add_scalar(nullptr); }
  bool boolean(bool value) override {
    return list_ == List::none ? JsonBuilder::boolean(value) : add_scalar(value);
  }
  bool number_integer(number_integer_t value) override {
    return list_ == List::none ? JsonBuilder::number_integer(value) : add_scalar(value);
  }
  bool number_unsigned(number_unsigned_t value) override {
    return list_ == List::none ? JsonBuilder::number_unsigned(value) : add_scalar(value);
  }
  bool number_float(number_float_t value, const string_t& text) override {
    return list_ == List::none ? JsonBuilder::number_float(value, text) : add_scalar(value);
  }
  bool string(string_t& value) override;
  bool key(string_t& name) override;
  bool start_object(std::size_t size) override;
  bool end_object() override;
  bool start_array(std::size_t size) override;
  bool end_array() override;

 private:
  enum class List { none, vocab, merges, pair };  // where the parser is; pair: within a merge of merges
  bool is_at(std::string_view model_part) const;
  bool add_scalar(const nlohmann::json& value);
  [[noreturn]] void refuse_merge() const;

  TokenizerFile& file_;
  std::vector<std::string> path_;  // the last key of each open object
  std::string last_key_;
  List list_ = List::none;
  std::vector<std::string> pair_;
};

}  // namespace plumbline::native
