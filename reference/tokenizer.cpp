#include "reference/tokenizer.h"

#include <cstdint>
#include <limits>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "harness/error.h"
#include "reference/config.h"
#include "reference/internal/added_tokens.h"
#include "reference/internal/bpe.h"
#include "reference/internal/byte_level.h"
#include "reference/internal/chat_template.h"
#include "reference/internal/pretokenizer.h"
#include "reference/internal/tokenizer_file.h"
#include "reference/internal/utf8.h"

namespace plumbline::reference {
namespace {

constexpr std::size_t kLongestText = std::numeric_limits<std::int32_t>::max();  // ICU's lengths

// Hugging Face's tokenizers ignores the ids that a file gives its added tokens: one that the vocabulary has
// keeps that id, the others follow the vocabulary, numbered in the order of the file. A file that says
// anything else would mean two things.
void require_usual_ids(const TokenizerFile& file) {
  auto next = static_cast<TokenId>(file.vocab.size());
  std::unordered_set<std::string> contents;
  for (const AddedToken& token : file.added) {
    const std::string name = "added token '" + token.content + "'";
    if (!contents.insert(token.content).second) throw Error(name + " is there twice", file.where);
    const auto known = file.vocab.find(token.content);
    const TokenId expected = known != file.vocab.end() ? known->second : next++;
    if (token.id == expected) continue;
    throw Error(name + " has the id " + std::to_string(token.id), file.where,
                "Hugging Face's tokenizers gives it " + std::to_string(expected));
  }
}

// The tokens to look for in the text as written, or in the normalised text.
AddedTokens tokens_to_find(const TokenizerFile& file, bool normalized) {
  std::vector<AddedToken> tokens;
  std::unordered_map<std::string, std::string> contents;  // by normal form
  for (AddedToken token : file.added) {
    if (token.normalized != normalized) continue;
    const std::string written = token.content;
    if (normalized && file.nfc) token.content = nfc(written);
    const auto [other, is_new] = contents.emplace(token.content, written);
    if (!is_new) {
      throw Error("added tokens '" + other->second + "' and '" + written + "' have one normal form",
                  file.where, "which of them Hugging Face's tokenizers finds is chance");
    }
    tokens.push_back(std::move(token));
  }
  return AddedTokens(std::move(tokens));
}

class ReferenceTokenizer final : public Tokenizer {
 public:
  // `padded_size` is the model's vocab_size: ids from size() to it decode to nothing.
  ReferenceTokenizer(const TokenizerFile& file, Bpe bpe, ChatTemplate chat, std::int64_t padded_size);

  using Tokenizer::encode;
  using Tokenizer::render_chat;
  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options) const override;
  EncodingStages encode_in_stages(std::string_view text, const EncodeOptions& options) const override;
  std::string decode(std::span<const TokenId> ids, bool skip_special_tokens) const override;
  std::string token_bytes(TokenId id) const override { return bytes_of(id); }
  bool is_special(TokenId id) const override { return special_.contains(id); }
  std::int64_t size() const override { return size_; }
  std::string render_chat(std::span<const ChatMessage> messages, const ChatOptions& options) const override {
    return chat_.render(messages, options);
  }

 private:
  const std::string& bytes_of(TokenId id) const;
  void encode_rest(std::string_view text, bool parse_special, EncodingStages& stages) const;

  std::int64_t padded_size_;
  std::int64_t size_ = 0;
  bool nfc_;
  RegexSplit split_;
  Bpe bpe_;
  AddedTokens written_;
  AddedTokens normalized_;
  ChatTemplate chat_;
  std::unordered_map<TokenId, std::string> bytes_;
  std::unordered_set<TokenId> special_;
};

ReferenceTokenizer::ReferenceTokenizer(const TokenizerFile& file, Bpe bpe, ChatTemplate chat,
                                       std::int64_t padded_size)
    : padded_size_(padded_size),
      nfc_(file.nfc),
      split_(file.pattern, file.where),
      bpe_(std::move(bpe)),
      written_(tokens_to_find(file, false)),
      normalized_(tokens_to_find(file, true)),
      chat_(std::move(chat)) {
  for (const auto& [token, id] : file.vocab) bytes_[id] = from_byte_symbols(token);
  std::unordered_set<std::string> special;  // as written
  for (const AddedToken& token : file.added) {
    if (token.special) special.insert(token.content);
  }
  for (const AddedToken& token : file.added) {
    const bool in_vocab = file.vocab.contains(token.content);
    // tokenizers decodes a normalized token to its normal form, and takes for special what is then a text of
    // the special ones.
    const std::string text = token.normalized && nfc_ ? nfc(token.content) : token.content;
    const bool is_new = bytes_.emplace(token.id, from_byte_symbols(text)).second;
    if (!is_new && !in_vocab)
      throw Error("id " + std::to_string(token.id) + " belongs to two tokens", file.where);
    if (special.contains(text)) special_.insert(token.id);
  }
  for (const auto& [id, bytes] : bytes_) size_ = std::max(size_, std::int64_t{id} + 1);
}

EncodingStages::Part stage_part(const AddedTokens::Part& part) {
  return {std::string(part.text), part.token != nullptr ? std::optional(part.token->id) : std::nullopt};
}

// Text between tokens that stand in it as written: normalised, cut again, split, merged.
void ReferenceTokenizer::encode_rest(std::string_view text, bool parse_special,
                                     EncodingStages& stages) const {
  const std::string normal = nfc_ ? nfc(text) : std::string(text);
  for (const AddedTokens::Part& part : normalized_.cut(normal, parse_special)) {
    stages.normalized.push_back(stage_part(part));
    if (part.token != nullptr) {
      stages.pieces.push_back({std::string(part.text), {part.token->id}});
      continue;
    }
    for (const std::string_view piece : split_(part.text)) {
      stages.pieces.push_back({std::string(piece), bpe_.encode(piece)});
    }
  }
}

EncodingStages ReferenceTokenizer::encode_in_stages(std::string_view text,
                                                    const EncodeOptions& options) const {
  if (text.size() > kLongestText) {
    throw Error("is " + std::to_string(text.size()) + " bytes long", "text",
                "the reference takes at most " + std::to_string(kLongestText));
  }
  const bool replace = options.invalid_utf8 == InvalidUtf8::replace;
  if (!replace) require_utf8(text);
  const std::string replaced = replace ? utf8_lossy(text) : std::string();
  EncodingStages stages;
  for (const AddedTokens::Part& part : written_.cut(replace ? replaced : text, options.parse_special)) {
    stages.cut.push_back(stage_part(part));
    if (part.token == nullptr) {
      encode_rest(part.text, options.parse_special, stages);
      continue;
    }
    stages.normalized.push_back(stages.cut.back());
    stages.pieces.push_back({std::string(part.text), {part.token->id}});
  }
  return stages;
}

std::vector<TokenId> ReferenceTokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  std::vector<TokenId> ids;
  for (const auto& piece : encode_in_stages(text, options).pieces)
    ids.insert(ids.end(), piece.ids.begin(), piece.ids.end());
  return ids;
}

const std::string& ReferenceTokenizer::bytes_of(TokenId id) const {
  const auto found = bytes_.find(id);
  if (found == bytes_.end()) {
    throw Error("token " + std::to_string(id) + " is not in the tokenizer", "tokenizer",
                "its ids go up to " + std::to_string(size() - 1));
  }
  return found->second;
}

std::string ReferenceTokenizer::decode(std::span<const TokenId> ids, bool skip_special_tokens) const {
  std::string bytes;
  for (const TokenId id : ids) {
    if (id >= size() && id < padded_size_) continue;  // a padding row of the embedding: no text
    const std::string& token = bytes_of(id);
    if (!(skip_special_tokens && is_special(id))) bytes += token;
  }
  return utf8_lossy(bytes);
}

TokenizerFile read_file(const std::filesystem::path& directory) {
  const std::filesystem::path whole = directory / "tokenizer.json";
  if (std::filesystem::exists(whole)) return read_tokenizer_json(whole);
  const bool vocab = std::filesystem::exists(directory / "vocab.json");
  const bool merges = std::filesystem::exists(directory / "merges.txt");
  if (vocab && merges) return read_vocab_and_merges(directory);
  if (vocab) throw Error("has vocab.json but no merges.txt", directory.string(), "nor a tokenizer.json");
  if (merges) throw Error("has merges.txt but no vocab.json", directory.string(), "nor a tokenizer.json");
  throw Error("has no tokenizer.json, nor vocab.json and merges.txt", directory.string(),
              "a model without a tokenizer takes token ids");
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& directory) {
  const TokenizerFile file = read_file(directory);
  Bpe bpe(file);
  require_usual_ids(file);
  const bool has_config = std::filesystem::exists(directory / "config.json");
  return std::make_unique<ReferenceTokenizer>(file, std::move(bpe), ChatTemplate(directory),
                                              has_config ? load_config(directory).vocab_size : 0);
}

}  // namespace plumbline::reference
