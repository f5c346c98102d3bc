#include "harness/error.h"
#include "reference/internal/tokenizer_file.h"

namespace plumbline::reference {
namespace {

// A part of tokenizer.json that must be an object.
JsonFields part(const JsonFields& json, const char* key) {
  if (!json.has(key) || !json.at(key).is_object()) json.refuse(key, "must be an object");
  return JsonFields(json.at(key), json.where() + ": " + key);
}

// null, NFC, or a Sequence of NFC alone.
bool normalizes(const JsonFields& json) {
  if (!json.has("normalizer")) return false;
  const JsonFields normalizer = part(json, "normalizer");
  if (normalizer.text("type", "") == "Sequence") {
    const nlohmann::json steps =
        normalizer.has("normalizers") ? normalizer.at("normalizers") : nlohmann::json();
    const bool nfc_alone = steps.is_array() && steps.size() == 1 && steps[0].is_object() &&
                           steps[0].contains("type") && steps[0]["type"] == "NFC";
    if (!nfc_alone) normalizer.refuse("normalizers", "only NFC is known here");
  } else if (normalizer.text("type", "") != "NFC") {
    normalizer.refuse("type", "only NFC is known here");
  }
  return true;
}

// Sequence [Split by Regex, Isolated; ByteLevel without regex or prefix space].
std::string split_pattern(const JsonFields& json) {
  const JsonFields outer = part(json, "pre_tokenizer");
  const nlohmann::json steps =
      outer.has("pretokenizers") ? outer.at("pretokenizers") : nlohmann::json::array();
  const bool two = outer.text("type", "") == "Sequence" && steps.is_array() && steps.size() == 2 &&
                   steps[0].is_object() && steps[1].is_object();
  if (!two) throw Error("is no Sequence of Split and ByteLevel", outer.where());
  const JsonFields split(steps[0], outer.where() + ": Split");
  const JsonFields bytes(steps[1], outer.where() + ": ByteLevel");
  if (split.text("type", "") != "Split") split.refuse("type", "Split is expected");
  if (split.text("behavior", "") != "Isolated") split.refuse("behavior", "only Isolated is known here");
  if (split.boolean("invert", false)) split.refuse("invert", "is not known here");
  if (bytes.text("type", "") != "ByteLevel") bytes.refuse("type", "ByteLevel is expected");
  if (bytes.boolean("use_regex", true)) bytes.refuse("use_regex", "is not known here");
  if (bytes.boolean("add_prefix_space", true)) bytes.refuse("add_prefix_space", "is not known here");
  const JsonFields pattern = part(split, "pattern");
  if (!pattern.has("Regex")) pattern.refuse("Regex", "is missing");
  return pattern.text("Regex", "");
}

// What would change ids or text behind the four stages.
void refuse_other_steps(const JsonFields& json) {
  for (const char* key : {"truncation", "padding"}) {
    if (json.has(key)) json.refuse(key, "is not known here");
  }
  if (json.has("post_processor")) {
    const JsonFields processor = part(json, "post_processor");
    if (processor.text("type", "") != "ByteLevel") processor.refuse("type", "only ByteLevel is known here");
  }
  const JsonFields decoder = part(json, "decoder");
  if (decoder.text("type", "") != "ByteLevel") decoder.refuse("type", "only ByteLevel is known here");
}

void refuse_options(const JsonFields& model) {
  if (model.text("type", "") != "BPE") model.refuse("type", "only BPE is known here");
  for (const char* key : {"dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"}) {
    const bool empty_text = model.has(key) && model.at(key) == "";
    if (model.has(key) && !empty_text) model.refuse(key, "is not known here");
  }
  for (const char* key : {"byte_fallback", "ignore_merges", "fuse_unk"}) {
    if (model.has(key) && model.boolean(key, false)) model.refuse(key, "is not known here");
  }
}

// "a b", or ["a", "b"] in newer files.
std::pair<std::string, std::string> merge_of(const nlohmann::json& merge, const std::string& where) {
  if (merge.is_string()) return split_merge(merge.get<std::string>(), where);
  const bool pair = merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string();
  if (!pair) throw Error("merges holds something that is no pair", where);
  return {merge[0].get<std::string>(), merge[1].get<std::string>()};
}

std::vector<AddedToken> added_tokens(const JsonFields& json) {
  std::vector<AddedToken> tokens;
  if (!json.has("added_tokens")) return tokens;
  if (!json.at("added_tokens").is_array()) json.refuse("added_tokens", "must be a list");
  for (const nlohmann::json& entry : json.at("added_tokens")) {
    if (!entry.is_object()) throw Error("an added token is no object", json.where());
    const JsonFields token(entry, json.where() + ": added token");
    if (!token.has("id")) token.refuse("id", "is missing");
    tokens.push_back(read_added_token(token, static_cast<TokenId>(token.integer("id", 0, 0, kLargestId))));
  }
  return tokens;
}

}  // namespace

std::unordered_map<std::string, TokenId> read_vocab(const nlohmann::json& vocab, const std::string& where) {
  std::unordered_map<std::string, TokenId> ids;
  for (const auto& [token, id] : vocab.items()) {
    const bool fits = id.is_number_integer() && id >= 0 && id <= kLargestId;
    if (!fits) throw Error("the id of '" + token + "' is no reasonable whole number", where);
    ids[token] = id.get<TokenId>();
  }
  return ids;
}

std::pair<std::string, std::string> split_merge(std::string_view merge, const std::string& where) {
  const std::size_t space = merge.find(' ');
  const bool two = space != std::string_view::npos && merge.find(' ', space + 1) == std::string_view::npos;
  if (!two) throw Error("merge '" + std::string(merge) + "' is no pair", where);
  return {std::string(merge.substr(0, space)), std::string(merge.substr(space + 1))};
}

AddedToken read_added_token(const JsonFields& entry, TokenId id) {
  AddedToken token;
  token.id = id;
  token.content = entry.text("content", "");
  token.single_word = entry.boolean("single_word", false);
  token.lstrip = entry.boolean("lstrip", false);
  token.rstrip = entry.boolean("rstrip", false);
  token.normalized = entry.boolean("normalized", false);
  token.special = entry.boolean("special", false);
  if (token.content.empty()) throw Error("an added token has no content", entry.where());
  return token;
}

TokenizerFile read_tokenizer_json(const std::filesystem::path& path) {
  const nlohmann::json object = parse_json_object(read_text_file(path), path.string());
  const JsonFields json(object, path.string());
  refuse_other_steps(json);
  const JsonFields model = part(json, "model");
  refuse_options(model);
  if (!model.has("vocab") || !model.at("vocab").is_object()) model.refuse("vocab", "must be an object");
  TokenizerFile file{json.where(), normalizes(json), split_pattern(json),
                     read_vocab(model.at("vocab"), model.where())};
  if (!model.has("merges") || !model.at("merges").is_array())
    throw Error("has no list of merges", model.where());
  for (const nlohmann::json& merge : model.at("merges"))
    file.merges.push_back(merge_of(merge, model.where()));
  file.added = added_tokens(json);
  return file;
}

}  // namespace plumbline::reference
