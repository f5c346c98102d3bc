// Where transformers 5.23 takes the rest of Qwen2's tokenizer from when there is no tokenizer.json; found by
// experiment.
#include <algorithm>
#include <map>
#include <sstream>

#include "harness/error.h"
#include "reference/internal/tokenizer_file.h"

namespace plumbline::reference {
namespace {

constexpr const char* kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// The named tokens in the order in which they are numbered. Those of the second list have a default.
constexpr const char* kNamedTokens[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
constexpr const char* kDefaulted[] = {"eos_token", "unk_token", "pad_token"};
constexpr const char* kDefaultToken = "<|endoftext|>";

nlohmann::json read_optional_object(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return nlohmann::json::object();
  return parse_json_object(read_text_file(path), path.string());
}

// A special token is written as text, or as an object whose flags transformers does not look at.
std::string content_of(const nlohmann::json& token, const std::string& key, const std::string& where) {
  if (token.is_string()) return token.get<std::string>();
  if (token.is_object() && token.contains("content") && token.at("content").is_string())
    return token.at("content").get<std::string>();
  throw Error(key + " is neither a text nor an added token", where);
}

// The contents of the special tokens that `config` names.
std::vector<std::string> named_tokens(const nlohmann::json& config, const std::string& where) {
  std::vector<std::string> contents;
  for (const char* key : kNamedTokens) {
    const bool defaulted =
        std::find(std::begin(kDefaulted), std::end(kDefaulted), std::string(key)) != std::end(kDefaulted);
    if (!config.contains(key)) {
      if (defaulted) contents.emplace_back(kDefaultToken);
    } else if (!config.at(key).is_null()) {
      contents.push_back(content_of(config.at(key), key, where));
    }
  }
  for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
    if (!config.contains(key) || config.at(key).is_null()) continue;
    if (!config.at(key).is_structured()) throw Error(std::string(key) + " is no list", where);
    for (const nlohmann::json& token : config.at(key)) contents.push_back(content_of(token, key, where));
  }
  return contents;
}

TokenId id_of(const std::string& text, const std::string& where) {
  const bool digits = !text.empty() && text.size() <= 8 &&
                      std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || std::stol(text) > kLargestId) throw Error("'" + text + "' is no token's id", where);
  return static_cast<TokenId>(std::stol(text));
}

// added_tokens_decoder: "id" -> token with its flags.
std::map<TokenId, AddedToken> by_decoder(const nlohmann::json& decoder, const std::string& where) {
  if (!decoder.is_object()) throw Error("added_tokens_decoder must be an object", where);
  std::map<TokenId, AddedToken> tokens;
  for (const auto& [key, entry] : decoder.items()) {
    const TokenId id = id_of(key, where);
    if (!entry.is_object()) throw Error("added token " + key + " is no object", where);
    const bool is_new =
        tokens.emplace(id, read_added_token(JsonFields(entry, where + ": added token"), id)).second;
    if (!is_new) throw Error("id " + std::to_string(id) + " belongs to two tokens", where);
  }
  return tokens;
}

// added_tokens.json: content -> id.
std::map<TokenId, AddedToken> by_content(const nlohmann::json& contents, const std::string& where) {
  std::map<TokenId, AddedToken> tokens;
  for (const auto& [content, id] : read_vocab(contents, where)) {
    AddedToken token;
    token.id = id;
    token.content = content;
    token.normalized = true;
    if (content.empty()) throw Error("an added token has no content", where);
    if (!tokens.emplace(id, token).second)
      throw Error("id " + std::to_string(id) + " belongs to two tokens", where);
  }
  return tokens;
}

AddedToken special_token(TokenId id, const std::string& content) {
  AddedToken token;
  token.id = id;
  token.content = content;
  token.special = true;
  return token;
}

// Listed ones by id, then the named ones that are not listed. A named one is special, whatever else its flags
// are where it is listed.
std::vector<AddedToken> added_tokens(const std::filesystem::path& directory,
                                     const std::unordered_map<std::string, TokenId>& vocab) {
  nlohmann::json config = read_optional_object(directory / "tokenizer_config.json");
  const std::string where = (directory / "tokenizer_config.json").string();
  std::map<TokenId, AddedToken> listed;
  std::vector<std::string> named;
  if (config.contains("added_tokens_decoder") && !config.at("added_tokens_decoder").is_null()) {
    named = named_tokens(config, where);
    listed = by_decoder(config.at("added_tokens_decoder"), where);
  } else {
    config.update(read_optional_object(directory / "special_tokens_map.json"));
    named = named_tokens(config, where);
    const std::filesystem::path path = directory / "added_tokens.json";
    listed = by_content(read_optional_object(path), path.string());
  }
  std::vector<AddedToken> tokens;
  auto next = static_cast<TokenId>(vocab.size());
  for (const auto& [id, token] : listed) {
    const bool is_named = std::find(named.begin(), named.end(), token.content) != named.end();
    tokens.push_back(is_named ? special_token(id, token.content) : token);
    if (!vocab.contains(token.content)) ++next;
  }
  for (const std::string& content : named) {
    const bool known = std::any_of(tokens.begin(), tokens.end(),
                                   [&](const AddedToken& token) { return token.content == content; });
    if (known || content.empty()) continue;
    tokens.push_back(special_token(vocab.contains(content) ? vocab.at(content) : next++, content));
  }
  return tokens;
}

// A line for each merge; those that begin with "#version" are comments.
std::vector<std::pair<std::string, std::string>> read_merges(const std::filesystem::path& path) {
  std::vector<std::pair<std::string, std::string>> merges;
  std::istringstream lines(read_text_file(path));
  std::size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.starts_with("#version")) continue;
    merges.push_back(split_merge(line, path.string() + ", line " + std::to_string(number)));
  }
  return merges;
}

}  // namespace

TokenizerFile read_vocab_and_merges(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / "vocab.json";
  const nlohmann::json config = read_optional_object(directory / "tokenizer_config.json");
  const std::string where = (directory / "tokenizer_config.json").string();
  if (JsonFields(config, where).has("add_prefix_space") &&
      JsonFields(config, where).boolean("add_prefix_space", false)) {
    throw Error("add_prefix_space is not known here", where);
  }
  TokenizerFile file{directory.string(), true, kQwen2Pattern,
                     read_vocab(parse_json_object(read_text_file(path), path.string()), path.string())};
  file.merges = read_merges(directory / "merges.txt");
  file.added = added_tokens(directory, file.vocab);
  return file;
}

}  // namespace plumbline::reference
