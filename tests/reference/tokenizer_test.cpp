#include "reference/tokenizer.h"

#include <catch2/catch.hpp>

#include <algorithm>

#include "tests/reference/fixtures.h"
#include "tests/support/temporary_directory.h"

using namespace plumbline;
using Catch::Contains;
using test::error_of;

namespace {

const Tokenizer& tiny() {
  static const auto tokenizer = reference::load_tokenizer(test::tiny_model());
  return *tokenizer;
}

// tokenizer.json of the tiny model with one thing changed.
template <typename Change>
std::unique_ptr<Tokenizer> changed(Change change) {
  TemporaryDirectory directory;
  nlohmann::json json = test::read_json(test::tiny_model() / "tokenizer.json");
  change(json);
  test::write_text(directory / "tokenizer.json", json.dump());
  return reference::load_tokenizer(directory.path());
}

nlohmann::json sequence_of(const std::vector<std::string>& types) {
  nlohmann::json steps = nlohmann::json::array();
  for (const std::string& type : types) steps.push_back({{"type", type}});
  return {{"type", "Sequence"}, {"normalizers", steps}};
}

template <typename Change>
std::string refusal(Change change) {
  const std::string message = error_of([&] { changed(change); });
  CHECK_THAT(message, Contains("tokenizer.json") && !Contains("\n"));
  return message;
}

}  // namespace

TEST_CASE("tokenizer: ids and text of every golden", "[reference][tokenizer]") {
  const nlohmann::json golden = test::read_json(test::fixture("goldens/tiny/tokenization.json"));
  CHECK(tiny().size() == golden.at("vocab_size"));
  for (const nlohmann::json& item : golden.at("cases")) {
    INFO(item.at("note").get<std::string>());
    const auto ids = item.at("ids").get<std::vector<TokenId>>();
    if (!item.at("text").is_null()) CHECK(tiny().encode(item.at("text").get<std::string>()) == ids);
    CHECK(tiny().decode(ids, false) == item.at("decoded"));
    CHECK(tiny().decode(ids, true) == item.at("decoded_skip_special"));
  }
}

TEST_CASE("tokenizer: invalid UTF-8 is refused with its byte offset", "[reference][tokenizer]") {
  using namespace std::string_literals;
  CHECK_THAT(error_of([] { tiny().encode("ab\xff"); }), Contains("invalid UTF-8 at byte offset 2"));
  CHECK_THAT(error_of([] { tiny().encode("\xc3"); }), Contains("at byte offset 0"));
  CHECK_THAT(error_of([] { tiny().encode("a\xed\xa0\x80"); }), Contains("at byte offset 1"));  // a surrogate
  CHECK_THAT(error_of([] { tiny().encode("abc\xc0\xaf"); }), Contains("at byte offset 3"));    // overlong
  CHECK(tiny().decode(tiny().encode("a\0b"s), false) == "a\0b"s);
}

TEST_CASE("tokenizer: a token's bytes may end inside a character", "[reference][tokenizer]") {
  std::string bytes;
  const std::string text = "\xF0\x9F\x99\x82 h\xC3\xA9llo";
  for (const TokenId id : tiny().encode(text)) bytes += tiny().token_bytes(id);
  CHECK(bytes == text);
  CHECK(tiny().token_bytes(220) == " ");
  CHECK_THAT(error_of([] { tiny().token_bytes(1000); }), Contains("token 1000"));
  CHECK_THROWS_AS(tiny().token_bytes(-1), Error);
  CHECK(tiny().is_special(998));
  CHECK_FALSE(tiny().is_special(220));
}

TEST_CASE("tokenizer: U+180E is no white space", "[reference][tokenizer]") {
  // Two spaces are one token, but the second goes with what follows when that is no white space.
  CHECK(tiny().encode("  \u180e") == std::vector<TokenId>{220, 220, 157, 254, 236});  // by tokenizers 0.23.3
  CHECK(tiny().encode("  \n").front() != 220);
}

TEST_CASE("tokenizer: what is not in Qwen2's form is refused by name", "[reference][tokenizer]") {
  CHECK_THAT(refusal([](auto& j) { j["normalizer"]["type"] = "NFKC"; }), Contains("NFKC"));
  CHECK_THAT(refusal([](auto& j) { j["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Removed"; }),
             Contains("Removed"));
  CHECK_THAT(refusal([](auto& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(a"; }),
             Contains("regular expression"));
  CHECK_THAT(refusal([](auto& j) { j["pre_tokenizer"] = nullptr; }), Contains("pre_tokenizer"));
  CHECK_THAT(refusal([](auto& j) { j["model"]["type"] = "WordPiece"; }), Contains("WordPiece"));
  CHECK_THAT(refusal([](auto& j) { j["model"]["byte_fallback"] = true; }), Contains("byte_fallback"));
  CHECK_THAT(refusal([](auto& j) { j["model"]["vocab"].erase("!"); }), Contains("byte 33"));
  CHECK_THAT(refusal([](auto& j) { j["model"]["vocab"]["zz"] = 3; }), Contains("id 3 belongs to two tokens"));
  CHECK_THAT(refusal([](auto& j) { j["model"]["merges"].push_back("! !"); }),
             Contains("merge '! !' needs the token '!!', which vocab lacks"));
  CHECK_THAT(refusal([](auto& j) { j["model"]["merges"].push_back("zz q"); }), Contains("token 'zz'"));
  CHECK_THAT(refusal([](auto& j) { j["model"]["merges"].push_back({"a", 5}); }), Contains("is no pair"));
  CHECK_THAT(refusal([](auto& j) { j["model"]["merges"] = nullptr; }), Contains("no list of merges"));
  CHECK_THAT(refusal([](auto& j) { j["model"]["vocab"]["zz"] = -3; }), Contains("the id of 'zz'"));
  CHECK_THAT(refusal([](auto& j) { j["model"]["vocab"] = nullptr; }), Contains("vocab"));
  CHECK_THAT(refusal([](auto& j) { j["model"] = nullptr; }), Contains("model"));
  CHECK_THAT(refusal([](auto& j) { j["truncation"] = {{"max_length", 3}}; }), Contains("truncation"));
  CHECK_THAT(refusal([](auto& j) { j["padding"] = {{"pad_id", 3}}; }), Contains("padding"));
  CHECK_THAT(refusal([](auto& j) { j["decoder"] = nullptr; }), Contains("decoder"));
  CHECK_THAT(refusal([](auto& j) { j["post_processor"]["type"] = "TemplateProcessing"; }),
             Contains("TemplateProcessing"));
  CHECK_THAT(refusal([](auto& j) {
               j["normalizer"] = sequence_of({"NFC", "Lowercase"});
             }),
             Contains("only NFC"));
  CHECK_THAT(refusal([](auto& j) { j["normalizer"] = sequence_of({}); }), Contains("only NFC"));
  CHECK_THAT(refusal([](auto& j) { j["added_tokens"] = 5; }), Contains("added_tokens"));
  CHECK_THAT(refusal([](auto& j) { j["added_tokens"][0]["lstrip"] = 1; }), Contains("lstrip"));
  CHECK_THAT(refusal([](auto& j) { j["added_tokens"][0].erase("id"); }), Contains("id"));
  CHECK_THAT(refusal([](auto& j) { j["added_tokens"][0]["id"] = 5; }), Contains("has the id 5"));
  CHECK_THAT(error_of([] { reference::load_tokenizer(test::fixture("configs")); }),
             Contains("no tokenizer.json"));
}

TEST_CASE("tokenizer: a Sequence of NFC alone is NFC", "[reference][tokenizer]") {
  const auto one = changed([](auto& j) { j["normalizer"] = sequence_of({"NFC"}); });
  CHECK(one->encode("e\u0301") == std::vector<TokenId>{127, 102});  // by tokenizers 0.23.3
  const auto none = changed([](auto& j) { j["normalizer"] = nullptr; });
  CHECK(none->encode("e\u0301") == std::vector<TokenId>{68, 136, 223});
}

TEST_CASE("tokenizer: invalid UTF-8 is replaced on request", "[reference][tokenizer]") {
  using namespace std::string_literals;
  constexpr EncodeOptions kReplace{.invalid_utf8 = InvalidUtf8::replace};
  // What Rust's String::from_utf8_lossy makes of them.
  const std::pair<std::string, std::string> texts[] = {{"ab\xff", "ab\ufffd"},
                                                       {"\xc3", "\ufffd"},
                                                       {"a\xed\xa0\x80z", "a\ufffd\ufffd\ufffdz"},
                                                       {"\xe2\x82x", "\ufffdx"},
                                                       {"\xf0\x9f\x99 \x80", "\ufffd \ufffd"},
                                                       {"\xc0\xaf", "\ufffd\ufffd"},
                                                       {"\xf4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd"},
                                                       {"valid \u00e9", "valid \u00e9"}};
  for (const auto& [broken, whole] : texts) {
    INFO(whole);
    CHECK(tiny().encode(broken, kReplace) == tiny().encode(whole));
  }
}

TEST_CASE("tokenizer: ids out of range are refused in decode", "[reference][tokenizer]") {
  const auto decode = [](TokenId id) {
    return error_of([&] { tiny().decode(std::vector<TokenId>{220, id}, false); });
  };
  CHECK_THAT(decode(-1), Contains("token -1 is not in the tokenizer"));
  CHECK_THAT(decode(2147483647), Contains("token 2147483647") && Contains("up to 999"));
  CHECK_THAT(decode(1024), Contains("token 1024"));
  CHECK(decode(1023).empty());  // pads the model's vocabulary
}

TEST_CASE("tokenizer: a text of 2 GiB is refused before it is looked at", "[reference][tokenizer]") {
  const std::string_view large("x", std::size_t{1} << 31);
  CHECK_THAT(error_of([&] { tiny().encode(large); }),
             Contains("2147483648 bytes") && Contains("at most 2147483647"));
}

TEST_CASE("tokenizer: a regular expression that gives up says so", "[reference][tokenizer]") {
  const auto endless =
      changed([](auto& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(?:a+)+b|."; });
  CHECK_THAT(error_of([&] { endless->encode(std::string(60, 'a')); }),
             Contains("PCRE2 gave up on this text, 0 bytes into a part of 60") && !Contains("\n"));
}

// By tokenizers 0.23.3.
TEST_CASE("tokenizer: long words and long white space", "[reference][tokenizer]") {
  const auto ids = tiny().encode(std::string(100000, ' ') + "x");
  REQUIRE(ids.size() == 50000);
  CHECK(std::count(ids.begin(), ids.end(), 367) == 49998);
  CHECK(std::vector<TokenId>(ids.end() - 2, ids.end()) == std::vector<TokenId>{511, 338});
  CHECK(tiny().encode(std::string(100000, 'e')) == std::vector<TokenId>(100000, 68));
  const auto grouped = changed(
      [](auto& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(?:a|ab)*c|(a|b)+"; });
  CHECK(grouped->encode(std::string(100000, 'a')) == std::vector<TokenId>(100000, 64));
}
