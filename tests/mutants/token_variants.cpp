#include "tests/mutants/token_variants.h"

#include <fstream>

#include "impl/tokenizer.h"
#include "phases/support/goldens.h"
#include "reference/tokenizer.h"
#include "tests/support/temporary_directory.h"

namespace plumbline::mutants {
namespace {

AddedTokenVariant make_variant(nlohmann::json tokenizer, const nlohmann::json& group,
                               const nlohmann::json& variant) {
  tokenizer["added_tokens"] = variant.at("added_tokens");
  tokenizer["normalizer"] = variant.at("normalizer");
  const TemporaryDirectory directory;
  std::ofstream(directory / "tokenizer.json") << tokenizer.dump();
  AddedTokenVariant made;
  made.file = native::read_tokenizer_json(directory / "tokenizer.json");
  made.native = native::load_tokenizer(directory.path());
  made.reference = reference::load_tokenizer(directory.path());
  const std::string name =
      "added tokens, " + group.at("name").get<std::string>() + ": " + variant.at("note").get<std::string>();
  phases::TextCategory category{name, group.at("texts"), {}, variant.at("ids")};
  phases::TextCategory as_text{name + ", read as text", category.texts, {.parse_special = false}};
  for (std::size_t i = 0; i < category.ids.size(); ++i) {
    const nlohmann::json& ids = variant.at("as_text").at(i);
    as_text.ids.push_back(ids.is_null() ? category.ids[i] : ids.get<std::vector<TokenId>>());
  }
  made.categories.push_back(std::move(category));
  made.categories.push_back(std::move(as_text));
  return made;
}

}  // namespace

std::vector<AddedTokenVariant> read_added_token_variants(const std::filesystem::path& fixtures) {
  const nlohmann::json tokenizer = phases::read_json(fixtures / "models" / "tiny" / "tokenizer.json");
  const nlohmann::json goldens = phases::read_json(fixtures / "goldens" / "tokenizer_flags.json");
  std::vector<AddedTokenVariant> variants;
  for (const nlohmann::json& group : goldens.at("groups")) {
    if (group.at("texts").empty()) continue;  // files that are refused
    for (const nlohmann::json& variant : group.at("variants"))
      variants.push_back(make_variant(tokenizer, group, variant));
  }
  return variants;
}

}  // namespace plumbline::mutants
