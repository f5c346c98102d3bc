#include "tests/mutants/token_tokenizer.h"

#include <algorithm>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/tokenization/pretokenizer.h"
#include "impl/unicode.h"
#include "tests/mutants/token_stages.h"

namespace plumbline::mutants {
namespace {

using M = TokenMistake;
using native::AddedToken;
using native::AddedTokenFinder;

// The tokens to look for in the text as written, or in normalised text.
AddedTokenFinder finder(const native::TokenizerFile& file, bool normalized, M planted) {
  std::vector<AddedToken> tokens;
  for (AddedToken token : file.added) {
    if (planted == M::lstrip_ignored) token.lstrip = false;
    if (planted == M::rstrip_ignored) token.rstrip = false;
    if (planted == M::single_word_ignored) token.single_word = false;
    if (planted == M::found_in_normal_form_alone) token.normalized = true;
    if (token.normalized != normalized) continue;
    if (normalized && file.nfc) token.content = native::nfc(token.content);
    tokens.push_back(std::move(token));
  }
  if (planted == M::shortest_added) {
    const std::vector<AddedToken> all = tokens;
    std::erase_if(tokens, [&](const AddedToken& token) {
      return std::ranges::any_of(all, [&](const AddedToken& other) {
        return other.content.size() < token.content.size() && token.content.starts_with(other.content);
      });
    });
  }
  return AddedTokenFinder(std::move(tokens));
}

std::string repaired(std::string_view bytes, std::string_view by) {
  std::string text;
  for (std::size_t bad = 0; (bad = native::find_invalid_utf8(bytes)) != std::string_view::npos;) {
    text.append(bytes.substr(0, bad)).append(by);
    bytes.remove_prefix(bad + 1);
  }
  return text.append(bytes);
}

std::size_t characters_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

EncodingStages::Part named(const AddedTokenFinder::Part& part) {
  return {std::string(part.text), part.token != nullptr ? std::optional(part.token->id) : std::nullopt};
}

class PlantedTokenizer final : public Tokenizer {
 public:
  PlantedTokenizer(const native::TokenizerFile& file, const Tokenizer& right, M planted)
      : right_(right),
        planted_(planted),
        nfc_(file.nfc),
        written_(finder(file, false, planted)),
        normalized_(finder(file, true, planted)),
        split_(planted),
        merge_(file, planted) {
    require(file.pattern == native::kQwen2Pattern, "a planted tokenizer of another pattern");
  }
  using Tokenizer::encode;
  using Tokenizer::render_chat;

  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options) const override {
    std::vector<TokenId> ids;
    for (const auto& piece : encode_in_stages(text, options).pieces)
      ids.insert(ids.end(), piece.ids.begin(), piece.ids.end());
    return ids;
  }
  EncodingStages encode_in_stages(std::string_view text, const EncodeOptions& options) const override {
    const std::string valid = well_formed(text, options);
    EncodingStages stages;
    for (const AddedTokenFinder::Part& part : parts(written_, valid, options)) {
      stages.cut.push_back(named(part));
      if (part.token == nullptr) {
        encode_rest(part.text, options, stages);
      } else {
        stages.normalized.push_back(named(part));
        stages.pieces.push_back({std::string(part.text), {part.token->id}});
      }
    }
    return stages;
  }
  std::string decode(std::span<const TokenId> ids, bool skip_special_tokens) const override;
  std::string token_bytes(TokenId id) const override { return right_.token_bytes(id); }
  bool is_special(TokenId id) const override { return right_.is_special(id); }
  std::int64_t size() const override { return right_.size(); }
  std::string render_chat(std::span<const ChatMessage> messages, const ChatOptions& options) const override {
    return mutants::render_chat(right_, messages, options, planted_);
  }

 private:
  std::vector<AddedTokenFinder::Part> parts(const AddedTokenFinder& finder, std::string_view text,
                                            const EncodeOptions& options) const {
    const bool special =
        planted_ == M::specials_always_found || (options.parse_special && planted_ != M::specials_not_found);
    std::vector<AddedTokenFinder::Part> parts;
    finder.cut(text, special, parts);
    return parts;
  }

  std::string well_formed(std::string_view text, const EncodeOptions& options) const {
    const std::size_t bad = native::find_invalid_utf8(text);
    if (bad == std::string_view::npos) return std::string(text);
    if (options.invalid_utf8 == InvalidUtf8::replace) return native::replace_invalid_utf8(text);
    const std::size_t said = planted_ == M::offset_in_characters ? characters_of(text.substr(0, bad)) : bad;
    throw Error(fmt::format("is not valid UTF-8 at byte offset {}", said), "text");
  }

  void encode_rest(std::string_view text, const EncodeOptions& options, EncodingStages& stages) const {
    const std::string normal = nfc_ ? normalize(text, planted_) : std::string(text);
    for (const AddedTokenFinder::Part& part : parts(normalized_, normal, options)) {
      stages.normalized.push_back(named(part));
      if (part.token != nullptr) {
        stages.pieces.push_back({std::string(part.text), {part.token->id}});
        continue;
      }
      for (std::string& piece : split_(part.text)) {
        std::vector<TokenId> ids = merge_(piece);
        stages.pieces.push_back({std::move(piece), std::move(ids)});
      }
    }
  }

  const Tokenizer& right_;
  M planted_;
  bool nfc_;
  AddedTokenFinder written_, normalized_;
  PlantedSplit split_;
  PlantedMerges merge_;
};

std::string PlantedTokenizer::decode(std::span<const TokenId> ids, bool skip_special_tokens) const {
  const bool skip = planted_ == M::specials_skipped_always ||
                    (skip_special_tokens && planted_ != M::specials_never_skipped);
  std::string bytes;
  for (const TokenId id : ids) {
    const std::string token = right_.token_bytes(id);
    if (skip && right_.is_special(id)) continue;
    bytes += planted_ == M::text_of_each_token ? native::replace_invalid_utf8(token) : token;
  }
  if (planted_ == M::replaced_by_byte) return repaired(bytes, "\uFFFD");
  if (planted_ == M::broken_bytes_dropped) return repaired(bytes, "");
  return native::replace_invalid_utf8(bytes);
}

}  // namespace

std::unique_ptr<Tokenizer> make_planted_tokenizer(const native::TokenizerFile& file, const Tokenizer& right,
                                                  TokenMistake planted) {
  return std::make_unique<PlantedTokenizer>(file, right, planted);
}

}  // namespace plumbline::mutants
