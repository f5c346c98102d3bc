#include "impl/tokenizer.h"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/chat_template.h"
#include "impl/json.h"
#include "impl/thread_pool.h"
#include "impl/tokenization/added_tokens.h"
#include "impl/tokenization/bpe.h"
#include "impl/tokenization/byte_level.h"
#include "impl/tokenization/pretokenizer.h"
#include "impl/tokenization/token_ids.h"
#include "impl/tokenization/tokenizer_file.h"
#include "impl/tokenization/vocabulary.h"
#include "impl/unicode.h"

namespace plumbline::native {
namespace {

using Part = AddedTokenFinder::Part;

class NativeTokenizer final : public Tokenizer {
 public:
  NativeTokenizer(const TokenizerFile& file, const std::filesystem::path& directory);
  using Tokenizer::encode;
  using Tokenizer::render_chat;
  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options) const override;
  std::int64_t count(std::string_view text, const EncodeOptions& options) const override;
  EncodingStages encode_in_stages(std::string_view text, const EncodeOptions& options) const override;
  std::string decode(std::span<const TokenId> ids, bool skip_special_tokens) const override;
  std::string token_bytes(TokenId id) const override { return std::string(bytes_of(id)); }
  bool is_special(TokenId id) const override;
  std::int64_t size() const override { return vocabulary_.size(); }
  std::string render_chat(std::span<const ChatMessage> messages, const ChatOptions& options) const override;

 private:
  void load_added(const TokenizerFile& file, const TokenIds& ids);
  void load_merges(const TokenizerFile& file, const TokenIds& ids);
  void load_padding(const std::filesystem::path& directory);
  // Nothing for an id that pads the vocabulary; throws Error for one out of range.
  std::string_view bytes_of(TokenId id) const;

  // encode() as a whole, for anything that takes what the stages give.
  template <typename Visitor>
  void visit(std::string_view text, const EncodeOptions& options, Visitor& visitor) const;
  // The text between added tokens; `normal`: it is known to be in normal form.
  template <typename Visitor>
  void visit_plain(std::string_view text, bool normal, const EncodeOptions& options, Visitor& visitor) const;

  Vocabulary vocabulary_;
  std::vector<bool> special_;  // by id
  std::int64_t id_limit_ = 0;  // ids below it are in range
  std::optional<BytePairEncoder> encoder_;
  PreTokenizer pre_tokenizer_;
  bool nfc_;
  std::optional<AddedTokenFinder> written_;     // added tokens looked for in text as written
  std::optional<AddedTokenFinder> normalized_;  // … in normalised text
  ChatTemplate chat_;
};

NativeTokenizer::NativeTokenizer(const TokenizerFile& file, const std::filesystem::path& directory)
    : pre_tokenizer_(file.pattern, file.where), nfc_(file.nfc), chat_(directory) {
  const TokenIds ids(file);
  for (const auto& [text, id] : file.vocab) vocabulary_.set(id, byte_level_decode(text));
  load_merges(file, ids);
  ids.check_added(file);
  load_added(file, ids);
  load_padding(directory);
}

void NativeTokenizer::load_added(const TokenizerFile& file, const TokenIds& ids) {
  std::vector<AddedToken> written;
  std::vector<AddedToken> normalized;
  for (AddedToken token : file.added) {
    const std::string given = token.content;
    if (token.normalized && nfc_) token.content = nfc(given);
    if (ids.find(given) == kNoToken) vocabulary_.set(token.id, byte_level_decode(token.content));
    special_.resize(static_cast<std::size_t>(vocabulary_.size()));
    // As in tokenizers, where a special token is known by its text as given, but decoded by its normal form.
    special_[static_cast<std::size_t>(token.id)] = token.special && token.content == given;
    (token.normalized ? normalized : written).push_back(std::move(token));
  }
  for (std::size_t i = 0; i < normalized.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (normalized[i].content != normalized[j].content) continue;
      throw Error(fmt::format("the added tokens {} and {} have the same normal form", normalized[j].id,
                              normalized[i].id),
                  file.where, "which of them is found is chance in Hugging Face's tokenizers");
    }
  }
  written_.emplace(std::move(written));
  normalized_.emplace(std::move(normalized));
}

void NativeTokenizer::load_merges(const TokenizerFile& file, const TokenIds& ids) {
  std::array<TokenId, 256> bytes{};
  for (unsigned byte = 0; byte < bytes.size(); ++byte)
    bytes[byte] = ids.of_byte(static_cast<std::uint8_t>(byte));
  std::vector<MergeTable::Entry> merges;
  merges.reserve(file.merges.size());
  for (const TokenizerFile::Merge& merge : file.merges) {
    merges.push_back({ids.of_merge(merge.left, merge), ids.of_merge(merge.right, merge),
                      ids.of_merge(merge.left + merge.right, merge)});
  }
  encoder_.emplace(vocabulary_, bytes, merges);
}

void NativeTokenizer::load_padding(const std::filesystem::path& directory) {
  id_limit_ = size();
  if (const auto path = directory / "config.json"; std::filesystem::exists(path)) {
    const nlohmann::json config = parse_json_object(read_text_file(path), path.string());
    const std::int64_t vocab = JsonFields(config, path.string()).integer("vocab_size", 0, 0, INT32_MAX);
    id_limit_ = std::max(id_limit_, vocab);
  }
}

template <typename Visitor>
void NativeTokenizer::visit_plain(std::string_view text, bool normal, const EncodeOptions& options,
                                  Visitor& visitor) const {
  std::string normalised;
  if (nfc_ && !normal && may_change_under_nfc(text)) {
    normalised = nfc(text);
    text = normalised;
  }
  std::vector<Part> parts;
  normalized_->cut(text, options.parse_special, parts);
  for (const Part& part : parts) {
    visitor.normalized(part);
    if (part.token != nullptr) continue;
    pre_tokenizer_.split(part.text, [&](std::string_view piece) { visitor.piece(piece, *encoder_); });
  }
}

template <typename Visitor>
void NativeTokenizer::visit(std::string_view text, const EncodeOptions& options, Visitor& visitor) const {
  if (text.size() > kLongestText) {
    throw Error(fmt::format("is {} bytes long", text.size()), "text",
                fmt::format("at most {} are taken", kLongestText));
  }
  std::string replaced;
  TextScan scan = scan_text(text);
  if (scan.invalid_at != std::string_view::npos) {
    if (options.invalid_utf8 == InvalidUtf8::refuse) {
      throw Error(fmt::format("is not valid UTF-8 at byte offset {}", scan.invalid_at), "text");
    }
    replaced = replace_invalid_utf8(text);
    text = replaced;
    scan = scan_text(text);
  }
  std::vector<Part> parts;
  written_->cut(text, options.parse_special, parts);
  for (const Part& part : parts) {
    visitor.cut(part);
    if (part.token != nullptr) {
      visitor.normalized(part);
    } else {
      visit_plain(part.text, !scan.may_change_under_nfc, options, visitor);
    }
  }
}

// Only a long text repeats enough for a cache to be worth its making.
std::optional<PieceCache> cache_for(std::string_view text) {
  constexpr std::size_t kLongText = 64 * 1024;
  return text.size() >= kLongText ? std::optional<PieceCache>(std::in_place) : std::nullopt;
}

struct IdVisitor {
  std::vector<TokenId>& ids;
  PieceCache* cache;

  void cut(const Part&) {}
  void normalized(const Part& part) {
    if (part.token != nullptr) ids.push_back(part.token->id);
  }
  void piece(std::string_view piece, const BytePairEncoder& encoder) { encoder.encode(piece, ids, cache); }
};

struct CountVisitor {
  PieceCache* cache;
  std::int64_t count = 0;
  std::vector<TokenId> piece_ids = {};

  void cut(const Part&) {}
  void normalized(const Part& part) { count += part.token != nullptr ? 1 : 0; }
  void piece(std::string_view piece, const BytePairEncoder& encoder) {
    piece_ids.clear();
    encoder.encode(piece, piece_ids, cache);
    count += static_cast<std::int64_t>(piece_ids.size());
  }
};

struct StageVisitor {
  EncodingStages stages = {};

  static EncodingStages::Part named(const Part& part) {
    return {std::string(part.text), part.token != nullptr ? std::optional(part.token->id) : std::nullopt};
  }
  void cut(const Part& part) { stages.cut.push_back(named(part)); }
  void normalized(const Part& part) {
    stages.normalized.push_back(named(part));
    if (part.token != nullptr) stages.pieces.push_back({std::string(part.text), {part.token->id}});
  }
  void piece(std::string_view piece, const BytePairEncoder& encoder) {
    stages.pieces.push_back({std::string(piece), {}});
    encoder.encode(piece, stages.pieces.back().ids);
  }
};

std::vector<TokenId> NativeTokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  constexpr std::size_t kBytesPerToken = 3;  // of ordinary text; a guess that saves most of the growing
  std::vector<TokenId> ids;
  ids.reserve(text.size() / kBytesPerToken + 4);
  std::optional<PieceCache> cache = cache_for(text);
  IdVisitor visitor{ids, cache ? &*cache : nullptr};
  visit(text, options, visitor);
  return ids;
}

std::int64_t NativeTokenizer::count(std::string_view text, const EncodeOptions& options) const {
  std::optional<PieceCache> cache = cache_for(text);
  CountVisitor visitor{cache ? &*cache : nullptr};
  visit(text, options, visitor);
  return visitor.count;
}

EncodingStages NativeTokenizer::encode_in_stages(std::string_view text, const EncodeOptions& options) const {
  StageVisitor visitor;
  visit(text, options, visitor);
  return std::move(visitor.stages);
}

std::string_view NativeTokenizer::bytes_of(TokenId id) const {
  if (id < 0 || id >= id_limit_) {
    throw Error(fmt::format("token id {} is not between 0 and {}", id, id_limit_ - 1), "tokenizer");
  }
  return id < size() ? vocabulary_.bytes(id) : std::string_view();
}

std::string NativeTokenizer::decode(std::span<const TokenId> ids, bool skip_special_tokens) const {
  constexpr std::size_t kBytesPerToken = 5;  // a little more than ordinary text has
  std::string bytes;
  bytes.reserve(ids.size() * kBytesPerToken);
  for (const TokenId id : ids) {
    const std::string_view token = bytes_of(id);
    if (!(skip_special_tokens && is_special(id))) bytes += token;
  }
  return find_invalid_utf8(bytes) == std::string::npos ? bytes : replace_invalid_utf8(bytes);
}

bool NativeTokenizer::is_special(TokenId id) const {
  return id >= 0 && static_cast<std::size_t>(id) < special_.size() && special_[static_cast<std::size_t>(id)];
}

std::string NativeTokenizer::render_chat(std::span<const ChatMessage> messages,
                                         const ChatOptions& options) const {
  return chat_.render(messages, options);
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& directory) {
  const std::filesystem::path json = directory / "tokenizer.json";
  return std::make_unique<NativeTokenizer>(
      std::filesystem::exists(json) ? read_tokenizer_json(json) : read_vocab_and_merges(directory),
      directory);
}

std::vector<std::vector<TokenId>> encode_batch(const Tokenizer& tokenizer, std::span<const std::string> texts,
                                               const EncodeOptions& options, int threads) {
  std::vector<std::vector<TokenId>> ids(texts.size());
  std::vector<std::string> problems(texts.size());
  const auto encode_some = [&](std::int64_t begin, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      try {
        ids[i] = tokenizer.encode(texts[i], options);
      } catch (const Error& problem) {
        problems[i] = problem.what();
      }
    }
  };
  constexpr std::int64_t kTextsAtOnce = 16;
  ThreadPool(threads).parallel_for(std::ssize(texts), kTextsAtOnce, encode_some);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (!problems[i].empty()) throw Error(problems[i], fmt::format("text {}", i));
  }
  return ids;
}

}  // namespace plumbline::native
