#include "impl/tokenization/file_fields.h"

#include <fmt/format.h>

#include "harness/error.h"

namespace plumbline::native {
namespace {

using Json = nlohmann::json;

bool flag(const Json& entry, const char* name, const std::string& token, const std::string& where) {
  const Json& value = field(entry, name);
  if (!value.is_null() && !value.is_boolean()) {
    refuse(where, fmt::format("added token '{}'.{}", token, name), value, "true and false are");
  }
  return value.is_boolean() && value.get<bool>();
}

}  // namespace

void refuse(const std::string& where, std::string_view part, const Json& found, std::string_view hint) {
  constexpr std::size_t kShown = 120;
  std::string text = found.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > kShown) text = text.substr(0, kShown) + "…";
  throw Error(fmt::format("{} is {}, which is not supported", part, text), where, hint);
}

const Json& field(const Json& object, const char* name) {
  static const Json null;
  const auto found = object.find(name);
  return found == object.end() ? null : *found;
}

TokenId token_id(const Json& value, std::string_view kind, const std::string& name,
                 const std::string& where) {
  const bool fits = value.is_number_unsigned() && value.get<std::uint64_t>() <= kLargestTokenId;
  if (!fits) {
    throw Error(fmt::format("{} '{}' has the id {}", kind, name, value.dump()), where,
                fmt::format("a whole number up to {}", kLargestTokenId));
  }
  return value.get<TokenId>();
}

std::vector<TokenizerFile::Token> read_vocab(const Json& vocab, const std::string& where) {
  if (!vocab.is_object()) throw Error("has no vocabulary", where);
  std::vector<TokenizerFile::Token> tokens;
  tokens.reserve(vocab.size());
  for (const auto& [text, id] : vocab.get_ref<const Json::object_t&>()) {
    tokens.push_back({text, token_id(id, "token", text, where)});
  }
  return tokens;
}

TokenizerFile::Merge parse_merge(const std::string& text, std::size_t rank, const std::string& where) {
  const std::size_t space = text.find(' ');
  const bool two = space != std::string::npos && text.find(' ', space + 1) == std::string::npos;
  if (!two) throw Error(fmt::format("merge {}, '{}', is not a pair of tokens", rank, text), where);
  return {text.substr(0, space), text.substr(space + 1)};
}

AddedToken read_added(const Json& entry, const Json& id, const std::string& where) {
  const Json& content = field(entry, "content");
  if (!content.is_string() || content.get_ref<const std::string&>().empty()) {
    throw Error("an added token has no content", where);
  }
  AddedToken token;
  token.content = content.get<std::string>();
  token.id = token_id(id, "added token", token.content, where);
  token.special = flag(entry, "special", token.content, where);
  token.lstrip = flag(entry, "lstrip", token.content, where);
  token.rstrip = flag(entry, "rstrip", token.content, where);
  token.single_word = flag(entry, "single_word", token.content, where);
  token.normalized = flag(entry, "normalized", token.content, where);
  return token;
}

}  // namespace plumbline::native
