#include "impl/tokenization/token_ids.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/tokenization/byte_level.h"
#include "impl/unicode.h"

namespace plumbline::native {
namespace {

Vocabulary texts_of(const TokenizerFile& file) {
  Vocabulary texts;
  std::vector<bool> taken;
  for (const auto& [text, id] : file.vocab) {
    const auto index = static_cast<std::size_t>(id);
    if (index >= taken.size()) taken.resize(index + 1);
    if (taken[index])
      throw Error(fmt::format("id {} belongs to two tokens, one of them '{}'", id, text), file.where);
    taken[index] = true;
    texts.set(id, text);
  }
  return texts;
}

std::vector<TokenId> ids_of(const TokenizerFile& file) {
  std::vector<TokenId> ids;
  for (const auto& [text, id] : file.vocab) {
    if (!text.empty()) ids.push_back(id);
  }
  return ids;
}

}  // namespace

TokenIds::TokenIds(const TokenizerFile& file)
    : where_(file.where), texts_(texts_of(file)), ids_(texts_, ids_of(file)) {
  for (const auto& [text, id] : file.vocab) {
    if (text.empty()) empty_ = id;
    if (find(text) != id) throw Error(fmt::format("names '{}' twice", text), where_);
  }
}

TokenId TokenIds::of_merge(std::string_view text, const TokenizerFile::Merge& merge) const {
  if (const TokenId id = find(text); id != kNoToken) return id;
  throw Error(fmt::format("the merge of '{}' and '{}' needs the token '{}', which the vocabulary lacks",
                          merge.left, merge.right, text),
              where_);
}

TokenId TokenIds::of_byte(std::uint8_t byte) const {
  std::string text;
  append_utf8(text, byte_level_character(byte));
  if (const TokenId id = find(text); id != kNoToken) return id;
  throw Error(fmt::format("the vocabulary lacks '{}', the token of byte {}", text, byte), where_);
}

void TokenIds::check_added(const TokenizerFile& file) const {
  auto next = static_cast<TokenId>(file.vocab.size());
  for (const AddedToken& token : file.added) {
    const TokenId known = find(token.content);
    const TokenId expected = known != kNoToken ? known : next;
    if (token.id != expected) {
      throw Error(
          fmt::format("added token '{}' has the id {}", token.content, token.id), file.where,
          fmt::format("tokenizers would give it {}: the vocabulary's, or the next one free", expected));
    }
    next = std::max(next, token.id + 1);
  }
}

}  // namespace plumbline::native
