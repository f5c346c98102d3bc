#include "impl/tokenizer_file.h"

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/json.h"
#include "impl/pretokenizer.h"

namespace plumbline::native {
namespace {

using Json = nlohmann::json;

[[noreturn]] void refuse(const std::string& where, std::string_view part, const Json& found,
                         std::string_view hint = {}) {
  constexpr std::size_t kShown = 120;
  std::string text = found.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > kShown) text = text.substr(0, kShown) + "…";
  throw Error(fmt::format("{} is {}, which is not supported", part, text), where, hint);
}

// Null when absent.
const Json& field(const Json& object, const char* name) {
  static const Json null;
  const auto found = object.find(name);
  return found == object.end() ? null : *found;
}

// A flag that must be false, null or absent.
void require_off(const Json& object, const char* name, const std::string& part, const std::string& where) {
  const Json& value = field(object, name);
  if (!value.is_null() && !(value.is_boolean() && !value.get<bool>()))
    refuse(where, part + "." + name, value);
}

void check_pre_tokenizer(const Json& pre, const std::string& where) {
  const Json& steps = field(pre, "pretokenizers");
  if (!is_text(field(pre, "type"), "Sequence") || !steps.is_array() || steps.size() != 2) {
    refuse(where, "pre_tokenizer", pre, "a Split followed by a ByteLevel");
  }
  const Json& split = steps[0];
  const Json& pattern = field(field(split, "pattern"), "Regex");
  if (!is_text(field(split, "type"), "Split") || !is_text(field(split, "behavior"), "Isolated")) {
    refuse(where, "pre_tokenizer's first step", split);
  }
  require_off(split, "invert", "pre_tokenizer", where);
  if (!is_text(pattern, kQwen2Pattern)) {
    refuse(where, "pre_tokenizer's pattern", pattern, "Qwen2's own is");
  }
  if (!is_text(field(steps[1], "type"), "ByteLevel")) refuse(where, "pre_tokenizer's second step", steps[1]);
  require_off(steps[1], "add_prefix_space", "pre_tokenizer", where);
  require_off(steps[1], "use_regex", "pre_tokenizer", where);
}

void check_pipeline(const Json& file, const std::string& where) {
  if (!is_text(field(field(file, "normalizer"), "type"), "NFC")) {
    refuse(where, "normalizer", field(file, "normalizer"), "only NFC is");
  }
  check_pre_tokenizer(field(file, "pre_tokenizer"), where);
  const Json& post = field(file, "post_processor");
  if (!post.is_null() && !is_text(field(post, "type"), "ByteLevel")) refuse(where, "post_processor", post);
  if (!is_text(field(field(file, "decoder"), "type"), "ByteLevel"))
    refuse(where, "decoder", field(file, "decoder"));
  for (const char* name : {"truncation", "padding"}) {
    if (!field(file, name).is_null()) refuse(where, name, field(file, name));
  }
}

void check_model(const Json& model, const std::string& where) {
  if (!is_text(field(model, "type"), "BPE")) refuse(where, "model.type", field(model, "type"), "only BPE is");
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const Json& value = field(model, name);
    if (!value.is_null() && !is_text(value, "")) refuse(where, std::string("model.") + name, value);
  }
  for (const char* name : {"dropout", "unk_token", "fuse_unk", "byte_fallback", "ignore_merges"}) {
    require_off(model, name, "model", where);
  }
}

TokenId token_id(const Json& value, std::string_view kind, const std::string& name,
                 const std::string& where) {
  const bool fits = value.is_number_unsigned() && value.get<std::uint64_t>() < std::uint64_t{1} << 24;
  if (!fits) throw Error(fmt::format("{} '{}' has the id {}", kind, name, value.dump()), where);
  return value.get<TokenId>();
}

// "a b" in older files, ["a", "b"] in newer ones.
std::pair<std::string, std::string> read_merge(const Json& merge, std::size_t rank,
                                               const std::string& where) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  }
  const std::string text = merge.is_string() ? merge.get<std::string>() : std::string();
  const std::size_t space = text.find(' ');
  if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
    throw Error(fmt::format("merge {} is not a pair of tokens", rank), where);
  }
  return {text.substr(0, space), text.substr(space + 1)};
}

AddedToken read_added(const Json& entry, const std::string& where) {
  const Json& content = field(entry, "content");
  if (!content.is_string() || content.get<std::string>().empty()) {
    throw Error("an added token has no content", where);
  }
  const std::string name = content.get<std::string>();
  for (const char* flag : {"single_word", "lstrip", "rstrip", "normalized"}) {
    require_off(entry, flag, "added token '" + name + "'", where);
  }
  const Json& special = field(entry, "special");
  return {token_id(field(entry, "id"), "added token", name, where), name,
          special.is_boolean() && special.get<bool>()};
}

}  // namespace

TokenizerFile read_tokenizer_file(const std::filesystem::path& path) {
  const std::string where = path.string();
  const Json file = parse_json_object(read_text_file(path), where);
  check_pipeline(file, where);
  const Json& model = field(file, "model");
  check_model(model, where);
  const Json& vocab = field(model, "vocab");
  const Json& merges = field(model, "merges");
  const Json& added = field(file, "added_tokens");
  if (!vocab.is_object() || !merges.is_array()) throw Error("has no vocabulary or no merges", where);
  TokenizerFile read;
  read.vocab.reserve(vocab.size());
  for (const auto& [token, id] : vocab.get_ref<const Json::object_t&>()) {
    read.vocab.emplace(token, token_id(id, "token", token, where));
  }
  read.merges.reserve(merges.size());
  for (const Json& merge : merges) read.merges.push_back(read_merge(merge, read.merges.size(), where));
  if (!added.is_null() && !added.is_array()) refuse(where, "added_tokens", added);
  for (const Json& entry : added) read.added.push_back(read_added(entry, where));
  return read;
}

}  // namespace plumbline::native
