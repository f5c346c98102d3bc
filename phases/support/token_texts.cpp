#include "phases/support/token_texts.h"

#include "harness/error.h"
#include "harness/weight_hash.h"
#include "phases/support/sides.h"
#include "phases/support/suite.h"

namespace plumbline::phases {
namespace {

std::filesystem::path texts_path() {
  return options().fixtures / "goldens" / "token_texts.json";
}

const nlohmann::json& texts_file() {
  static const nlohmann::json file = read_json(texts_path());
  return file;
}

// One of the checkpoint's golden files; null where it has no goldens, or they lack it.
nlohmann::json golden_file(const char* name) {
  if (!goldens() || goldens()->tokenization.is_null()) return {};
  const std::filesystem::path path = goldens()->directory / name;
  return std::filesystem::exists(path) ? read_json(path) : nlohmann::json();
}

const nlohmann::json& golden_texts() {
  static const nlohmann::json file = [] {
    nlohmann::json made = golden_file("tokenization_texts.json");
    if (!made.is_null() && made.at("texts_sha256") != sha256_of_file(texts_path())) {
      throw Error("was made of other texts than token_texts.json has",
                  (goldens()->directory / "tokenization_texts.json").string(), "remake the goldens");
    }
    return made;
  }();
  return file;
}

// Without goldens, tiny's texts: what they are encoded to is compared between the sides alone.
TextCategory hand_picked(const std::string& case_id) {
  const bool golden = goldens() && !goldens()->tokenization.is_null();
  const nlohmann::json file = golden
                                  ? goldens()->tokenization
                                  : read_json(options().fixtures / "goldens" / "tiny" / "tokenization.json");
  TextCategory category{"picked by hand, " + case_id, {}};
  for (const nlohmann::json& entry : file.at("cases")) {
    if (entry.at("case") != case_id || entry.at("text").is_null()) continue;
    category.texts.push_back(entry.at("text").get<std::string>());
    if (!golden) continue;
    category.ids.push_back(entry.at("ids").get<std::vector<TokenId>>());
    const nlohmann::json& pieces = entry.at("pretokens");
    category.pieces.push_back(pieces.is_null() ? std::vector<std::string>()
                                               : pieces.get<std::vector<std::string>>());
  }
  return category;
}

const nlohmann::json* golden_category(const std::string& name) {
  if (golden_texts().is_null()) return nullptr;
  for (const nlohmann::json& entry : golden_texts().at("categories")) {
    if (entry.at("category") == name) return &entry;
  }
  throw Error("has no category '" + name + "'", (goldens()->directory / "tokenization_texts.json").string(),
              "remake the goldens");
}

// The bytes of all tokens of a text, cut into pieces of these lengths; none where the vocabulary differs.
std::vector<std::string> pieces_of(const std::vector<TokenId>& ids, const std::vector<std::size_t>& lengths) {
  std::string bytes;
  try {
    for (const TokenId id : ids) bytes += reference_tokenizer()->token_bytes(id);
  } catch (const Error&) {
    return {};
  }
  std::vector<std::string> pieces;
  std::size_t at = 0;
  for (const std::size_t length : lengths) {
    if (length > bytes.size() - at) return {};
    pieces.push_back(bytes.substr(at, length));
    at += length;
  }
  return pieces;
}

void read_golden_ids(TextCategory& category, const nlohmann::json& ids, const nlohmann::json& piece_bytes) {
  ids.get_to(category.ids);
  for (std::size_t i = 0; i < category.ids.size(); ++i) {
    category.pieces.push_back(pieces_of(category.ids[i], piece_bytes.at(i).get<std::vector<std::size_t>>()));
  }
}

}  // namespace

std::vector<TextCategory> text_categories(const std::string& case_id) {
  std::vector<TextCategory> categories{hand_picked(case_id)};
  for (const DrawnTexts& drawn : drawn_texts()) {
    if (drawn.case_id != case_id) continue;
    TextCategory category{drawn.category, drawn.texts};
    TextCategory as_text{category.name + ", read as text", category.texts, {.parse_special = false}};
    if (const nlohmann::json* golden = golden_category(category.name)) {
      read_golden_ids(category, golden->at("ids"), golden->at("piece_bytes"));
      category.decoded_sha256 = golden->at("decoded_sha256");
      category.decoded_skip_special_sha256 = golden->at("decoded_skip_special_sha256");
      if (case_id == "2.3") {
        read_golden_ids(as_text, golden->at("ids_of_specials_as_text"),
                        golden->at("piece_bytes_of_specials_as_text"));
      }
    }
    categories.push_back(std::move(category));
    if (case_id == "2.3") categories.push_back(std::move(as_text));
  }
  return categories;
}

const std::vector<DrawnTexts>& drawn_texts() {
  static const std::vector<DrawnTexts> made = [] {
    std::vector<DrawnTexts> drawn;
    for (const nlohmann::json& entry : texts_file().at("categories")) {
      drawn.push_back({entry.at("case"), entry.at("category"), entry.at("texts")});
    }
    return drawn;
  }();
  return made;
}

std::vector<BrokenText> broken_texts() {
  std::vector<BrokenText> texts;
  for (const nlohmann::json& entry : texts_file().at("broken_utf8")) {
    const std::string hex = entry.at("bytes");
    std::string bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
      bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    }
    texts.push_back({bytes, entry.at("offset"), entry.at("replaced")});
    if (!golden_texts().is_null())
      golden_texts().at("broken_utf8").at(texts.size() - 1).get_to(texts.back().ids);
  }
  return texts;
}

const nlohmann::json& golden_token_sets() {
  static const nlohmann::json file = golden_file("tokenization_sets.json");
  return file;
}

std::string remark_on_token_goldens() {
  if (golden_texts().is_null()) return {};
  const bool same =
      golden_texts().at("tokenizer_sha256") == sha256_of_file(options().model / "tokenizer.json");
  return same ? std::string() : "tokenizer.json has other bytes than the one that the goldens were made with";
}

}  // namespace plumbline::phases
