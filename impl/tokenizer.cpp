#include "impl/tokenizer.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/bpe.h"
#include "impl/byte_level.h"
#include "impl/chat_template.h"
#include "impl/json.h"
#include "impl/pretokenizer.h"
#include "impl/tokenizer_file.h"
#include "impl/unicode.h"

namespace plumbline::native {
namespace {

// Finds added tokens in a text from left to right; the longest where several begin. Remembers where each
// comes next, so that a text is searched once for each token, however often others occur in it.
class AddedTokenSearch {
 public:
  struct Match {
    std::size_t begin;
    const AddedToken* token;  // null when there is no more; begin is then the end of the text
  };

  // `tokens`: the longest first.
  AddedTokenSearch(std::string_view text, std::span<const AddedToken> tokens) : text_(text), tokens_(tokens) {
    for (const AddedToken& token : tokens_) next_.push_back(text_.find(token.content));
  }

  Match next(std::size_t from) {
    Match best{text_.size(), nullptr};
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      if (next_[i] < from) next_[i] = text_.find(tokens_[i].content, from);
      if (next_[i] < best.begin) best = {next_[i], &tokens_[i]};
    }
    return best;
  }

 private:
  std::string_view text_;
  std::span<const AddedToken> tokens_;
  std::vector<std::size_t> next_;
};

class NativeTokenizer final : public Tokenizer {
 public:
  explicit NativeTokenizer(const std::filesystem::path& directory);
  std::vector<TokenId> encode(std::string_view text) const override;
  std::string decode(std::span<const TokenId> ids, bool skip_special_tokens) const override;
  std::string token_bytes(TokenId id) const override;
  bool is_special(TokenId id) const override;
  std::int64_t size() const override { return static_cast<std::int64_t>(tokens_.size()); }
  std::string render_chat(std::span<const ChatMessage> messages, bool add_generation_prompt) const override;

 private:
  struct Token {
    std::string bytes;
    bool special = false;
  };
  void load_bytes_and_merges(const TokenizerFile& file, const std::string& where);
  void load_added(const TokenizerFile& file);
  void load_padding_and_chat(const std::filesystem::path& directory);
  Token& token(TokenId id);
  // Null for an id that pads the vocabulary; throws Error for one out of range.
  const Token* find(TokenId id) const;
  void encode_plain(std::string_view text, std::vector<TokenId>& out) const;

  std::vector<Token> tokens_;  // by id
  std::int64_t id_limit_ = 0;  // ids below it are in range
  BytePairEncoder encoder_;
  std::vector<AddedToken> added_;  // the longest first
  std::optional<ChatTemplate> chat_;
  std::string no_chat_;  // why chat_ is empty
};

NativeTokenizer::NativeTokenizer(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / "tokenizer.json";
  const TokenizerFile file = read_tokenizer_file(path);
  for (const auto& [text, id] : file.vocab) token(id).bytes = byte_level_decode(text);
  load_bytes_and_merges(file, path.string());
  load_added(file);
  load_padding_and_chat(directory);
}

NativeTokenizer::Token& NativeTokenizer::token(TokenId id) {
  const auto index = static_cast<std::size_t>(id);
  if (index >= tokens_.size()) tokens_.resize(index + 1);
  return tokens_[index];
}

void NativeTokenizer::load_bytes_and_merges(const TokenizerFile& file, const std::string& where) {
  const auto id_of = [&](const std::string& text) {
    const auto found = file.vocab.find(text);
    if (found == file.vocab.end()) {
      throw Error(fmt::format("the vocabulary lacks '{}', which merges or bytes need", text), where);
    }
    return found->second;
  };
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::string text;
    append_utf8(text, byte_level_character(static_cast<std::uint8_t>(byte)));
    encoder_.set_byte(static_cast<std::uint8_t>(byte), id_of(text));
  }
  std::int32_t rank = 0;
  for (const auto& [left, right] : file.merges) {
    encoder_.add_merge(id_of(left), id_of(right), rank++, id_of(left + right));
  }
}

void NativeTokenizer::load_added(const TokenizerFile& file) {
  added_ = file.added;
  for (const AddedToken& added : added_) token(added.id) = {byte_level_decode(added.content), added.special};
  std::sort(added_.begin(), added_.end(),
            [](const auto& a, const auto& b) { return a.content.size() > b.content.size(); });
}

void NativeTokenizer::load_padding_and_chat(const std::filesystem::path& directory) {
  id_limit_ = size();
  if (const auto path = directory / "config.json"; std::filesystem::exists(path)) {
    const nlohmann::json config = parse_json_object(read_text_file(path), path.string());
    const std::int64_t vocab = JsonFields(config, path.string()).integer("vocab_size", 0, 0, INT32_MAX);
    id_limit_ = std::max(id_limit_, vocab);
  }
  std::string jinja;
  std::filesystem::path source = directory / "tokenizer_config.json";
  if (std::filesystem::exists(source)) {
    const nlohmann::json config = parse_json_object(read_text_file(source), source.string());
    const auto found = config.find("chat_template");
    if (found != config.end() && found->is_string()) jinja = found->get<std::string>();
  }
  if (const auto path = directory / "chat_template.jinja"; jinja.empty() && std::filesystem::exists(path)) {
    source = path;
    jinja = read_text_file(path);
  }
  no_chat_ = "there is no chat_template";
  if (jinja.empty()) return;
  try {
    chat_.emplace(jinja, source.string());
  } catch (const Error& problem) {
    no_chat_ = problem.what();  // told when a chat is asked for; text needs no template
  }
}

const NativeTokenizer::Token* NativeTokenizer::find(TokenId id) const {
  if (id < 0 || id >= id_limit_) {
    throw Error(fmt::format("token id {} is not between 0 and {}", id, id_limit_ - 1), "tokenizer");
  }
  const auto index = static_cast<std::size_t>(id);
  return index < tokens_.size() ? &tokens_[index] : nullptr;
}

void NativeTokenizer::encode_plain(std::string_view text, std::vector<TokenId>& out) const {
  const std::string normal = nfc(text);
  for (const std::string_view piece : pretokenize(normal)) encoder_.encode(piece, out);
}

std::vector<TokenId> NativeTokenizer::encode(std::string_view text) const {
  if (const std::size_t bad = find_invalid_utf8(text); bad != std::string_view::npos) {
    throw Error(fmt::format("is not valid UTF-8 at byte offset {}", bad), "text");
  }
  std::vector<TokenId> ids;
  AddedTokenSearch search(text, added_);
  std::size_t from = 0;
  while (from < text.size()) {
    const AddedTokenSearch::Match match = search.next(from);
    encode_plain(text.substr(from, match.begin - from), ids);
    from = match.begin;
    if (match.token == nullptr) continue;
    ids.push_back(match.token->id);
    from += match.token->content.size();
  }
  return ids;
}

std::string NativeTokenizer::decode(std::span<const TokenId> ids, bool skip_special_tokens) const {
  std::string bytes;
  for (const TokenId id : ids) {
    const Token* found = find(id);
    if (found != nullptr && !(skip_special_tokens && found->special)) bytes += found->bytes;
  }
  return replace_invalid_utf8(bytes);
}

std::string NativeTokenizer::token_bytes(TokenId id) const {
  const Token* found = find(id);
  return found == nullptr ? std::string() : found->bytes;
}

bool NativeTokenizer::is_special(TokenId id) const {
  return id >= 0 && id < size() && tokens_[static_cast<std::size_t>(id)].special;
}

std::string NativeTokenizer::render_chat(std::span<const ChatMessage> messages,
                                         bool add_generation_prompt) const {
  if (!chat_) throw Error("cannot render a chat: " + no_chat_, "tokenizer");
  return chat_->render(messages, add_generation_prompt);
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& directory) {
  return std::make_unique<NativeTokenizer>(directory);
}

}  // namespace plumbline::native
