// Added tokens and their flags, against what Hugging Face's tokenizers 0.23.3 gives.
#include <catch2/catch.hpp>

#include "reference/tokenizer.h"
#include "tests/reference/fixtures.h"
#include "tests/support/temporary_directory.h"

using namespace plumbline;
using Catch::Contains;
using nlohmann::json;
using test::error_of;
using Ids = std::vector<TokenId>;

namespace {

constexpr EncodeOptions kAsText{.parse_special = false};

// tokenizer.json of the tiny model with other added tokens.
std::unique_ptr<Tokenizer> with_added(const json& added, const json& normalizer = {{"type", "NFC"}}) {
  static const json tiny = test::read_json(test::tiny_model() / "tokenizer.json");
  TemporaryDirectory directory;
  json changed = tiny;
  changed["added_tokens"] = added;
  changed["normalizer"] = normalizer;
  test::write_text(directory / "tokenizer.json", changed.dump());
  return reference::load_tokenizer(directory.path());
}

json token(TokenId id, const std::string& content, const std::vector<std::string>& flags = {}) {
  json made{{"id", id}, {"content", content}};
  for (const char* flag : {"single_word", "lstrip", "rstrip", "normalized", "special"})
    made[flag] = std::find(flags.begin(), flags.end(), flag) != flags.end();
  return made;
}

const json& goldens() {
  static const json read = test::read_json(test::fixture("goldens/tokenizer_flags.json"));
  return read;
}

// The i-th of a golden's list, where null stands for what would be repeated.
template <typename Value>
Value nth(const json& list, std::size_t i, const Value& repeated) {
  return list.at(i).is_null() ? repeated : list.at(i).get<Value>();
}

void check_variant(const json& variant, const std::vector<std::string>& texts) {
  const auto tokenizer = with_added(variant.at("added_tokens"), variant.at("normalizer"));
  for (std::size_t i = 0; i < texts.size(); ++i) {
    INFO("text " << json(texts[i]).dump(-1, ' ', true));
    const auto ids = variant.at("ids").at(i).get<Ids>();
    CHECK(tokenizer->encode(texts[i]) == ids);
    CHECK(tokenizer->encode(texts[i], kAsText) == nth(variant.at("as_text"), i, ids));
    const std::string decoded = nth(variant.at("decoded"), i, texts[i]);
    CHECK(tokenizer->decode(ids, false) == decoded);
    CHECK(tokenizer->decode(ids, true) == nth(variant.at("skipped"), i, decoded));
  }
}

std::string joined(const std::vector<EncodingStages::Part>& parts) {
  std::string text;
  for (const auto& part : parts) text += part.text;
  return text;
}

}  // namespace

TEST_CASE("added tokens: every golden of flags", "[reference][tokenizer]") {
  for (const json& group : goldens().at("groups")) {
    if (group.at("name") == "contradicted") continue;
    for (const json& variant : group.at("variants")) {
      INFO(group.at("name") << ", " << variant.at("note"));
      check_variant(variant, group.at("texts").get<std::vector<std::string>>());
    }
  }
}

TEST_CASE("added tokens: a file that numbers them otherwise than tokenizers is refused",
          "[reference][tokenizer]") {
  int refused = 0;
  for (const json& group : goldens().at("groups")) {
    if (group.at("name") != "contradicted") continue;
    for (const json& variant : group.at("variants")) {
      INFO(variant.at("note"));
      const std::string message = error_of([&] { with_added(variant.at("added_tokens")); });
      CHECK_THAT(message, Contains("tokenizer.json") && Contains("added token") && !Contains("\n"));
      ++refused;
    }
  }
  CHECK(refused >= 9);
  CHECK_THAT(error_of([] { with_added(json::array({token(1500, "<z>")})); }),
             Contains("'<z>' has the id 1500") && Contains("gives it 997"));
  CHECK_THAT(error_of([] {
               with_added({token(997, "<z>"), token(998, "<z>")});
             }),
             Contains("is there twice"));
}

TEST_CASE("added tokens: two of one normal form are refused", "[reference][tokenizer]") {
  const json both{token(997, "xe\u0301", {"normalized"}), token(998, "x\u00e9", {"normalized"})};
  CHECK_THAT(error_of([&] { with_added(both); }), Contains("one normal form"));
  CHECK(with_added(both, nullptr)->encode("x\u00e9") == Ids{998});
  const json one{token(997, "xe\u0301"), token(998, "x\u00e9", {"normalized"})};
  CHECK(with_added(one)->encode("xe\u0301x\u00e9") == Ids{997, 998});
}

// By tokenizers 0.23.3: white space that rstrip took may be taken again, and where lstrip then finds none
// left the token is gone; it panics ("bad split") where the token itself lies in what was taken.
TEST_CASE("added tokens: white space that two want", "[reference][tokenizer]") {
  const auto spaces = with_added({token(997, "ab", {"rstrip"}), token(998, " ")});
  CHECK(spaces->encode("ab   x") == Ids{997, 998, 998, 998, 87});
  CHECK(spaces->encode("ab \u3000 x") == Ids{997, 998, 678, 222, 998, 87});
  const auto stripping = with_added({token(997, "ab", {"rstrip"}), token(998, " ", {"lstrip"})});
  CHECK(stripping->encode("ab x") == Ids{997, 87});
  CHECK_THAT(error_of([&] { stripping->encode("ab   x"); }),
             Contains("white space that another one took") && Contains("tokenizers fails"));
  const auto words = with_added({token(997, "ab", {"rstrip"}), token(998, " x", {"lstrip"})});
  CHECK(words->encode("ab    xy") == Ids{997, 998, 88});
}

TEST_CASE("added tokens: the stages of an encoding", "[reference][tokenizer]") {
  const auto tokenizer =
      with_added({token(997, "<z>", {"lstrip", "special"}), token(998, "\u00e9x", {"normalized"})});
  const EncodingStages stages = tokenizer->encode_in_stages("a  <z>e\u0301x 1", {});
  REQUIRE(stages.cut.size() == 3);
  CHECK(stages.cut[1].text == "  <z>");
  CHECK(stages.cut[1].added == 997);
  CHECK(joined(stages.cut) == "a  <z>e\u0301x 1");
  CHECK(joined(stages.normalized) == "a  <z>\u00e9x 1");
  REQUIRE(stages.normalized.size() == 4);
  CHECK(stages.normalized[2].added == 998);
  CHECK_FALSE(stages.normalized[3].added);
  std::string text;
  Ids ids;
  for (const auto& piece : stages.pieces) {
    text += piece.text;
    ids.insert(ids.end(), piece.ids.begin(), piece.ids.end());
  }
  CHECK(text == joined(stages.normalized));
  CHECK(stages.pieces.size() == 5);  // "a", the tokens, " ", "1"
  CHECK(ids == tokenizer->encode("a  <z>e\u0301x 1"));
  CHECK(tokenizer->encode_in_stages("a<z>", kAsText).cut.size() == 1);
  CHECK(tokenizer->encode_in_stages("", {}).pieces.empty());
}
