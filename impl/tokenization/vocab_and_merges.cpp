// The older form of a tokenizer, as transformers' Qwen2Tokenizer reads it.
#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/json.h"
#include "impl/tokenization/file_fields.h"
#include "impl/tokenization/pretokenizer.h"
#include "impl/tokenization/tokenizer_file.h"

namespace plumbline::native {
namespace {

using Json = nlohmann::json;

Json read_if_there(const std::filesystem::path& path) {
  return std::filesystem::exists(path) ? parse_json_object(read_text_file(path), path.string())
                                       : Json::object();
}

// One merge a line, by rank; lines that begin with #version are comments.
std::vector<TokenizerFile::Merge> read_merges(const std::filesystem::path& path) {
  const std::string text = read_text_file(path);
  std::vector<TokenizerFile::Merge> merges;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    if (line.ends_with('\r')) line.pop_back();
    begin = end + 1;
    if (!line.starts_with("#version")) merges.push_back(parse_merge(line, merges.size(), path.string()));
  }
  return merges;
}

// A special token is a text, or an object of which transformers looks at the text alone.
std::string content_of(const Json& token, const std::string& name, const std::string& where) {
  const Json& content = token.is_object() ? field(token, "content") : token;
  if (!content.is_string()) refuse(where, name, token, "a text is");
  return content.get<std::string>();
}

// The texts that the checkpoint calls special, in the order in which transformers numbers them. Some have a
// default; null is none.
std::vector<std::string> special_texts(const Json& config, const std::string& where) {
  std::vector<std::string> texts;
  for (const char* name :
       {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}) {
    const std::string_view kind(name);
    const bool has_default = kind == "eos_token" || kind == "unk_token" || kind == "pad_token";
    if (!config.contains(name) && has_default) texts.emplace_back("<|endoftext|>");
    if (const Json& token = field(config, name); !token.is_null())
      texts.push_back(content_of(token, name, where));
  }
  for (const char* name : {"additional_special_tokens", "extra_special_tokens"}) {
    const Json& tokens = field(config, name);
    if (!tokens.is_null() && !tokens.is_structured()) refuse(where, name, tokens, "a list is");
    for (const Json& token : tokens) texts.push_back(content_of(token, name, where));
  }
  return texts;
}

// added_tokens_decoder of tokenizer_config.json, {"151643": {"content": …, flags}, …}, by id.
std::vector<AddedToken> listed_by_id(const Json& decoder, const std::string& where) {
  if (!decoder.is_object()) refuse(where, "added_tokens_decoder", decoder, "an object is");
  std::vector<AddedToken> tokens;
  for (const auto& [id, entry] : decoder.get_ref<const Json::object_t&>()) {
    tokens.push_back(read_added(entry, Json::parse(id, nullptr, false), where));
  }
  return tokens;
}

// added_tokens.json, {"text": id, …}. What is not special is looked for in normalised text.
std::vector<AddedToken> listed_by_text(const std::filesystem::path& path) {
  std::vector<AddedToken> tokens;
  for (const TokenizerFile::Token& token : read_vocab(read_if_there(path), path.string())) {
    if (token.text.empty()) throw Error("an added token has no content", path.string());
    tokens.push_back({.id = token.id, .content = token.text, .normalized = true});
  }
  return tokens;
}

// Listed tokens by id, then the special ones that are listed nowhere. A special one keeps no other flag.
std::vector<AddedToken> number_tokens(std::vector<AddedToken> listed,
                                      const std::vector<std::string>& specials,
                                      const std::vector<TokenizerFile::Token>& vocab) {
  std::map<std::string_view, TokenId> ids;
  for (const TokenizerFile::Token& token : vocab) ids.emplace(token.text, token.id);
  std::sort(listed.begin(), listed.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  std::set<std::string> known;
  auto next = static_cast<TokenId>(vocab.size());
  for (AddedToken& token : listed) {
    known.insert(token.content);
    if (!ids.contains(token.content)) ++next;
    const bool special = std::find(specials.begin(), specials.end(), token.content) != specials.end();
    if (special) token = {.id = token.id, .content = token.content, .special = true};
  }
  for (const std::string& text : specials) {
    if (text.empty() || !known.insert(text).second) continue;
    const auto found = ids.find(text);
    listed.push_back({.id = found != ids.end() ? found->second : next++, .content = text, .special = true});
  }
  return listed;
}

// A decoder, even an empty one, hides the two older files; special_tokens_map.json goes before the config.
std::vector<AddedToken> read_added_tokens(const std::filesystem::path& directory,
                                          const std::vector<TokenizerFile::Token>& vocab) {
  const std::filesystem::path path = directory / "tokenizer_config.json";
  Json config = read_if_there(path);
  const Json decoder = field(config, "added_tokens_decoder");
  if (!decoder.is_null()) {
    return number_tokens(listed_by_id(decoder, path.string()), special_texts(config, path.string()), vocab);
  }
  config.update(read_if_there(directory / "special_tokens_map.json"));
  return number_tokens(listed_by_text(directory / "added_tokens.json"), special_texts(config, path.string()),
                       vocab);
}

}  // namespace

TokenizerFile read_vocab_and_merges(const std::filesystem::path& directory) {
  const std::filesystem::path vocab = directory / "vocab.json";
  const std::filesystem::path merges = directory / "merges.txt";
  const bool has_vocab = std::filesystem::exists(vocab);
  const bool has_merges = std::filesystem::exists(merges);
  if (!has_vocab && !has_merges) {
    throw Error("has no tokenizer.json", directory.string(), "nor vocab.json and merges.txt");
  }
  if (!has_vocab || !has_merges) {
    throw Error(fmt::format("has {} but no {}", has_vocab ? "vocab.json" : "merges.txt",
                            has_vocab ? "merges.txt" : "vocab.json"),
                directory.string());
  }
  TokenizerFile read;
  read.where = vocab.string();
  read.pattern = kQwen2Pattern;
  read.vocab = read_vocab(parse_json_object(read_text_file(vocab), vocab.string()), vocab.string());
  read.merges = read_merges(merges);
  read.added = read_added_tokens(directory, read.vocab);
  return read;
}

}  // namespace plumbline::native
