#include "reference/tokenizer.h"

#include <map>
#include <optional>

#include "reference/config.h"
#include "reference/internal/bpe.h"
#include "reference/internal/byte_level.h"
#include "reference/internal/chat_template.h"
#include "reference/internal/json_fields.h"
#include "reference/internal/pretokenizer.h"
#include "reference/internal/utf8.h"

namespace plumbline::reference {
namespace {

constexpr std::int64_t kLargestId = std::int64_t{1} << 24;

struct AddedToken {
  TokenId id = 0;
  std::string content;
  bool special = false;
};

// A part of tokenizer.json that must be an object.
JsonFields part(const JsonFields& json, const char* key) {
  if (!json.has(key) || !json.at(key).is_object()) json.refuse(key, "must be an object");
  return JsonFields(json.at(key), json.where() + ": " + key);
}

bool normalizes(const JsonFields& json) {
  if (!json.has("normalizer")) return false;
  const JsonFields normalizer = part(json, "normalizer");
  if (normalizer.text("type", "") != "NFC") normalizer.refuse("type", "only NFC is known here");
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

std::vector<AddedToken> added_tokens(const JsonFields& json) {
  std::vector<AddedToken> tokens;
  if (!json.has("added_tokens")) return tokens;
  if (!json.at("added_tokens").is_array()) json.refuse("added_tokens", "must be a list");
  for (const nlohmann::json& entry : json.at("added_tokens")) {
    if (!entry.is_object()) throw Error("an added token is no object", json.where());
    const JsonFields token(entry, json.where() + ": added token");
    for (const char* key : {"single_word", "lstrip", "rstrip", "normalized"}) {
      if (token.boolean(key, false)) token.refuse(key, "is not known here");
    }
    if (token.text("content", "").empty()) throw Error("an added token has no content", json.where());
    if (!token.has("id")) token.refuse("id", "is missing");
    tokens.push_back({static_cast<TokenId>(token.integer("id", 0, 0, kLargestId)), token.text("content", ""),
                      token.boolean("special", false)});
  }
  return tokens;
}

class ReferenceTokenizer final : public Tokenizer {
 public:
  // `padded_size` is the model's vocab_size: ids from size() to it decode to nothing.
  ReferenceTokenizer(const JsonFields& json, ChatTemplate chat, std::int64_t padded_size)
      : padded_size_(padded_size),
        normalizes_(normalizes(json)),
        split_(split_pattern(json), json.where()),
        bpe_(part(json, "model")),
        added_(added_tokens(json)),
        chat_(std::move(chat)) {
    for (const auto& [token, id] : bpe_.vocab()) tokens_[id] = token;
    for (const AddedToken& token : added_) {
      const auto [place, is_new] = tokens_.emplace(token.id, token.content);
      if (!is_new && place->second != token.content) {
        throw Error("id " + std::to_string(token.id) + " belongs to two tokens", json.where());
      }
      special_[token.id] = token.special;
    }
  }

  std::vector<TokenId> encode(std::string_view text) const override;
  std::string decode(std::span<const TokenId> ids, bool skip_special_tokens) const override;
  std::string token_bytes(TokenId id) const override;
  bool is_special(TokenId id) const override;
  std::int64_t size() const override {
    return tokens_.empty() ? 0 : std::int64_t{tokens_.rbegin()->first} + 1;
  }
  std::string render_chat(std::span<const ChatMessage> messages, bool add_generation_prompt) const override {
    return chat_.render(messages, add_generation_prompt);
  }

 private:
  const AddedToken* added_at(std::string_view text, std::size_t at) const;
  void encode_plain(std::string_view text, std::vector<TokenId>& ids) const;

  std::int64_t padded_size_;
  bool normalizes_;
  RegexSplit split_;
  Bpe bpe_;
  std::vector<AddedToken> added_;
  ChatTemplate chat_;
  std::map<TokenId, std::string> tokens_;  // as tokenizer.json writes them
  std::map<TokenId, bool> special_;
};

// The longest added token that begins at text[at]; null for none.
const AddedToken* ReferenceTokenizer::added_at(std::string_view text, std::size_t at) const {
  const AddedToken* longest = nullptr;
  for (const AddedToken& token : added_) {
    const bool here = text.substr(at, token.content.size()) == token.content;
    if (here && (longest == nullptr || token.content.size() > longest->content.size())) longest = &token;
  }
  return longest;
}

void ReferenceTokenizer::encode_plain(std::string_view text, std::vector<TokenId>& ids) const {
  const std::string normalized = normalizes_ ? nfc(text) : std::string(text);
  for (const std::string_view piece : split_(normalized)) {
    for (const TokenId id : bpe_.encode(to_byte_symbols(piece))) ids.push_back(id);
  }
}

// Added tokens are cut out of the text as it is written, before it is normalized.
std::vector<TokenId> ReferenceTokenizer::encode(std::string_view text) const {
  require_utf8(text);
  std::vector<TokenId> ids;
  std::size_t plain = 0;  // where the text that is not yet encoded begins
  for (std::size_t at = 0; at < text.size();) {
    const AddedToken* token = added_at(text, at);
    if (token == nullptr) {
      ++at;
      continue;
    }
    encode_plain(text.substr(plain, at - plain), ids);
    ids.push_back(token->id);
    at += token->content.size();
    plain = at;
  }
  encode_plain(text.substr(plain), ids);
  return ids;
}

std::string ReferenceTokenizer::token_bytes(TokenId id) const {
  const auto found = tokens_.find(id);
  if (found == tokens_.end()) {
    throw Error("token " + std::to_string(id) + " is not in the tokenizer", "tokenizer",
                "its ids go up to " + std::to_string(size() - 1));
  }
  return from_byte_symbols(found->second);
}

bool ReferenceTokenizer::is_special(TokenId id) const {
  const auto found = special_.find(id);
  return found != special_.end() && found->second;
}

std::string ReferenceTokenizer::decode(std::span<const TokenId> ids, bool skip_special_tokens) const {
  std::string bytes;
  for (const TokenId id : ids) {
    if (id >= size() && id < padded_size_) continue;  // a padding row of the embedding: no text
    const std::string token = token_bytes(id);
    if (!(skip_special_tokens && is_special(id))) bytes += token;
  }
  return utf8_lossy(bytes);
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / "tokenizer.json";
  if (!std::filesystem::exists(path)) {
    throw Error("has no tokenizer.json", directory.string(), "a model without a tokenizer takes token ids");
  }
  const nlohmann::json object = parse_json_object(read_text_file(path), path.string());
  const bool has_config = std::filesystem::exists(directory / "config.json");
  return std::make_unique<ReferenceTokenizer>(JsonFields(object, path.string()), ChatTemplate(directory),
                                              has_config ? load_config(directory).vocab_size : 0);
}

}  // namespace plumbline::reference
