#include "impl/tokenization/tokenizer_events.h"

#include <utility>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/tokenization/file_fields.h"

namespace plumbline::native {

// Whether the value that begins is that of model.<model_part>.
bool TokenizerEvents::is_at(std::string_view model_part) const {
  return depth() == 2 && path_.size() == 2 && path_[0] == "model" && path_[1] == model_part;
}

void TokenizerEvents::refuse_merge() const {
  throw Error(fmt::format("merge {} is not a pair of tokens", file_.merges.size()), file_.where);
}

// In the vocabulary the id of the last key; no merge is one.
bool TokenizerEvents::add_scalar(const nlohmann::json& value) {
  if (list_ != List::vocab) refuse_merge();
  const TokenId id = token_id(value, "token", last_key_, file_.where);
  file_.vocab.push_back({std::move(last_key_), id});
  return true;
}

bool TokenizerEvents::string(string_t& value) {
  switch (list_) {
    case List::none:
      return JsonBuilder::string(value);
    case List::vocab:
      return add_scalar(value);
    case List::merges:  // "a b", in older files
      file_.merges.push_back(parse_merge(value, file_.merges.size(), file_.where));
      return true;
    case List::pair:
      pair_.push_back(std::move(value));
      return true;
  }
  return false;
}

bool TokenizerEvents::key(string_t& name) {
  if (list_ == List::vocab) {
    last_key_ = std::move(name);
    return true;
  }
  path_.resize(depth());
  path_.back() = name;
  return JsonBuilder::key(name);
}

bool TokenizerEvents::start_object(std::size_t size) {
  if (list_ == List::vocab) refuse(file_.where, "the id of '" + last_key_ + "'", nlohmann::json::object());
  if (list_ != List::none) refuse_merge();
  if (is_at("vocab")) list_ = List::vocab;
  return JsonBuilder::start_object(size);
}

bool TokenizerEvents::end_object() {
  list_ = List::none;  // none is open within a merge
  return JsonBuilder::end_object();
}

bool TokenizerEvents::start_array(std::size_t size) {
  if (list_ == List::vocab) refuse(file_.where, "the id of '" + last_key_ + "'", nlohmann::json::array());
  if (list_ == List::pair) refuse_merge();
  if (list_ == List::merges) {  // ["a", "b"], in newer files
    list_ = List::pair;
    pair_.clear();
    return true;
  }
  if (is_at("merges")) list_ = List::merges;
  return JsonBuilder::start_array(size);
}

bool TokenizerEvents::end_array() {
  if (list_ == List::pair) {
    if (pair_.size() != 2) refuse_merge();
    file_.merges.push_back({std::move(pair_[0]), std::move(pair_[1])});
    list_ = List::merges;
    return true;
  }
  list_ = List::none;
  return JsonBuilder::end_array();
}

}  // namespace plumbline::native
