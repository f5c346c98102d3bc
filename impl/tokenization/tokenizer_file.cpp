#include "impl/tokenization/tokenizer_file.h"

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/json.h"
#include "impl/tokenization/file_fields.h"
#include "impl/tokenization/tokenizer_events.h"

namespace plumbline::native {
namespace {

using Json = nlohmann::json;

// A flag that must be false, null or absent.
void require_off(const Json& object, const char* name, const std::string& part, const std::string& where) {
  const Json& value = field(object, name);
  if (!value.is_null() && !(value.is_boolean() && !value.get<bool>()))
    refuse(where, part + "." + name, value);
}

// The pattern of a Split by a regular expression, followed by a ByteLevel.
std::string read_pre_tokenizer(const Json& pre, const std::string& where) {
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
  if (!pattern.is_string()) refuse(where, "pre_tokenizer's pattern", field(split, "pattern"), "a Regex is");
  if (!is_text(field(steps[1], "type"), "ByteLevel")) refuse(where, "pre_tokenizer's second step", steps[1]);
  for (const char* name : {"add_prefix_space", "use_regex"}) {  // true where they are absent
    if (field(steps[1], name) != false)
      refuse(where, std::string("ByteLevel.") + name, field(steps[1], name));
  }
  return pattern.get<std::string>();
}

bool read_normalizer(const Json& normalizer, const std::string& where) {
  if (normalizer.is_null()) return false;
  if (!is_text(field(normalizer, "type"), "NFC")) {
    refuse(where, "normalizer", normalizer, "NFC is, and none");
  }
  return true;
}

void check_pipeline(const Json& file, const std::string& where) {
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

}  // namespace

TokenizerFile read_tokenizer_json(const std::filesystem::path& path) {
  TokenizerFile read;
  read.where = path.string();
  const std::string text = read_text_file(path);
  TokenizerEvents events(read);
  Json::sax_parse(text, &events);
  const Json& file = events.root();
  if (!file.is_object()) throw Error("is not a JSON object", read.where);
  check_pipeline(file, read.where);
  read.nfc = read_normalizer(field(file, "normalizer"), read.where);
  read.pattern = read_pre_tokenizer(field(file, "pre_tokenizer"), read.where);
  const Json& model = field(file, "model");
  check_model(model, read.where);
  const Json& added = field(file, "added_tokens");
  if (!field(model, "vocab").is_object()) throw Error("has no vocabulary", read.where);
  if (!field(model, "merges").is_array()) throw Error("has no merges", read.where);
  if (!added.is_null() && !added.is_array()) refuse(read.where, "added_tokens", added);
  for (const Json& entry : added) read.added.push_back(read_added(entry, field(entry, "id"), read.where));
  return read;
}

}  // namespace plumbline::native
