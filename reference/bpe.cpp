#include "reference/internal/bpe.h"

#include <limits>
#include <set>

#include "harness/error.h"
#include "reference/internal/byte_level.h"
#include "reference/internal/utf8.h"

namespace plumbline::reference {
namespace {

constexpr std::size_t kNoRank = std::numeric_limits<std::size_t>::max();
constexpr std::int64_t kLargestId = std::int64_t{1} << 24;

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

// "a b", or ["a", "b"] in newer files. No token contains a space: it is Ġ among byte symbols.
std::string merge_pair(const JsonFields& model, const nlohmann::json& merge) {
  if (merge.is_string()) return merge.get<std::string>();
  const bool pair = merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string();
  if (!pair) throw Error("merges holds something that is no pair", model.where());
  return merge[0].get<std::string>() + " " + merge[1].get<std::string>();
}

std::vector<std::string> characters(std::string_view symbols) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at < symbols.size();) {
    const std::size_t length = utf8_step(symbols, at).length;
    parts.emplace_back(symbols.substr(at, length));
    at += length;
  }
  return parts;
}

// Joins every occurrence of the pair, from the left.
std::vector<std::string> joined(const std::vector<std::string>& parts, const std::string& left,
                                const std::string& right) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const bool here = parts[i] == left && i + 1 < parts.size() && parts[i + 1] == right;
    out.push_back(here ? left + right : parts[i]);
    if (here) ++i;
  }
  return out;
}

}  // namespace

Bpe::Bpe(const JsonFields& model) {
  refuse_options(model);
  read_vocab(model);
  read_merges(model);
}

void Bpe::read_vocab(const JsonFields& model) {
  if (!model.has("vocab") || !model.at("vocab").is_object()) model.refuse("vocab", "must be an object");
  std::set<std::int64_t> ids;
  for (const auto& [token, id] : model.at("vocab").items()) {
    const bool fits = id.is_number_integer() && id >= 0 && id <= kLargestId;
    if (!fits) throw Error("the id of '" + token + "' is no reasonable whole number", model.where());
    if (!ids.insert(id.get<std::int64_t>()).second) {
      throw Error("id " + id.dump() + " belongs to two tokens", model.where());
    }
    vocab_[token] = id.get<TokenId>();
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    if (!vocab_.contains(byte_symbol(static_cast<unsigned char>(byte)))) {
      throw Error("vocab lacks the symbol of byte " + std::to_string(byte), model.where());
    }
  }
}

void Bpe::read_merges(const JsonFields& model) {
  if (!model.has("merges") || !model.at("merges").is_array())
    throw Error("has no list of merges", model.where());
  for (const nlohmann::json& merge : model.at("merges")) {
    const std::string pair = merge_pair(model, merge);
    const std::size_t space = pair.find(' ');
    const bool two = space != std::string::npos && pair.find(' ', space + 1) == std::string::npos;
    if (!two) throw Error("merge '" + pair + "' is no pair", model.where());
    const std::string result = pair.substr(0, space) + pair.substr(space + 1);
    if (!vocab_.contains(result)) throw Error("merge '" + pair + "' gives no token", model.where());
    ranks_.emplace(pair, ranks_.size());
  }
}

std::vector<TokenId> Bpe::encode(std::string_view symbols) const {
  std::vector<std::string> parts = characters(symbols);
  while (true) {
    std::size_t lowest = kNoRank;
    std::size_t where = 0;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = ranks_.find(parts[i] + " " + parts[i + 1]);
      if (found != ranks_.end() && found->second < lowest) {
        lowest = found->second;
        where = i;
      }
    }
    if (lowest == kNoRank) break;
    parts = joined(parts, std::string(parts[where]), std::string(parts[where + 1]));
  }
  std::vector<TokenId> ids;
  for (const std::string& part : parts) ids.push_back(vocab_.at(part));
  return ids;
}

}  // namespace plumbline::reference
