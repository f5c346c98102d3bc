#include "impl/tokenizer.h"

#include <catch2/catch.hpp>

#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

nlohmann::json goldens() {
  return read_json(source_path("fixtures/goldens/tiny/tokenization.json"));
}

std::string tokenizer_json() {
  return read_json(tiny_model() / "tokenizer.json").dump();
}

std::string error_with(const std::string& path, const nlohmann::json& value) {
  nlohmann::json file = nlohmann::json::parse(tokenizer_json());
  file[nlohmann::json::json_pointer(path)] = value;
  const ScratchDirectory scratch;
  scratch.write("tokenizer.json", file.dump());
  return error_of([&] { load_tokenizer(scratch.path()); });
}

}  // namespace

TEST_CASE("tokenizer: encodes every golden text to the ids of Hugging Face's tokenizers") {
  const auto tokenizer = load_tokenizer(tiny_model());
  const nlohmann::json golden = goldens();
  int compared = 0;
  for (const auto& each : golden.at("cases")) {
    if (each.at("text").is_null()) continue;
    INFO(each.at("note"));
    CHECK(tokenizer->encode(each.at("text").get<std::string>()) ==
          each.at("ids").get<std::vector<TokenId>>());
    ++compared;
  }
  CHECK(compared > 80);
}

TEST_CASE("tokenizer: decodes every golden list of ids, with and without special tokens") {
  const auto tokenizer = load_tokenizer(tiny_model());
  const nlohmann::json golden = goldens();
  for (const auto& each : golden.at("cases")) {
    INFO(each.at("note"));
    const auto ids = each.at("ids").get<std::vector<TokenId>>();
    CHECK(tokenizer->decode(ids, false) == each.at("decoded").get<std::string>());
    CHECK(tokenizer->decode(ids, true) == each.at("decoded_skip_special").get<std::string>());
  }
}

TEST_CASE("tokenizer: names the byte offset of invalid UTF-8") {
  const auto tokenizer = load_tokenizer(tiny_model());
  CHECK_THAT(error_of([&] { tokenizer->encode("ab\xC3\xA9\xFFz"); }), Catch::Contains("byte offset 4"));
  CHECK_THAT(error_of([&] { tokenizer->encode("\xED\xA0\x80"); }), Catch::Contains("byte offset 0"));
  CHECK_THAT(error_of([&] { tokenizer->encode("x\xE2\x82"); }), Catch::Contains("byte offset 1"));
}

TEST_CASE("tokenizer: refuses ids beyond the model's vocabulary and knows its special tokens") {
  const auto tokenizer = load_tokenizer(tiny_model());
  CHECK(tokenizer->size() == 1000);
  CHECK(tokenizer->is_special(999));
  CHECK_FALSE(tokenizer->is_special(996));
  CHECK_FALSE(tokenizer->is_special(1010));
  CHECK(tokenizer->token_bytes(998) == "<|im_start|>");
  CHECK(tokenizer->token_bytes(1010).empty());
  const std::vector<TokenId> beyond{1024};
  CHECK_THAT(error_of([&] { tokenizer->decode(beyond, false); }), Catch::Contains("1024"));
  CHECK_THAT(error_of([&] { tokenizer->token_bytes(-1); }), Catch::Contains("-1"));
}

TEST_CASE("tokenizer: of added tokens that begin at one place the longest wins, the leftmost of all") {
  nlohmann::json file = nlohmann::json::parse(tokenizer_json());
  for (const auto& [id, content] :
       std::vector<std::pair<int, const char*>>{{1000, "<a>"}, {1001, "<a><b>"}, {1002, "x<a"}}) {
    file["added_tokens"].push_back({{"id", id}, {"content", content}, {"special", false}});
  }
  const ScratchDirectory scratch;
  scratch.write("tokenizer.json", file.dump());
  const auto tokenizer = load_tokenizer(scratch.path());
  CHECK(tokenizer->encode("<a><b><a>") == std::vector<TokenId>{1001, 1000});
  CHECK(tokenizer->encode("x<a><b>").front() == 1002);
}

TEST_CASE("tokenizer: without a normalizer text keeps its form") {
  nlohmann::json file = nlohmann::json::parse(tokenizer_json());
  file["normalizer"] = nullptr;
  const ScratchDirectory scratch;
  scratch.write("tokenizer.json", file.dump());
  const auto tokenizer = load_tokenizer(scratch.path());
  CHECK(tokenizer->decode(tokenizer->encode("e\u0301"), false) == "e\u0301");
  CHECK(load_tokenizer(tiny_model())->decode(load_tokenizer(tiny_model())->encode("e\u0301"), false) ==
        "\u00e9");
}

TEST_CASE("tokenizer: counts what it encodes, and batches give what texts alone give") {
  const auto tokenizer = load_tokenizer(tiny_model());
  std::vector<std::string> texts;
  const nlohmann::json golden = goldens();
  for (const auto& each : golden.at("cases")) {
    if (each.at("text").is_string()) texts.push_back(each.at("text"));
  }
  for (const int threads : {1, 3}) {
    const auto all = encode_batch(*tokenizer, texts, {}, threads);
    REQUIRE(all.size() == texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i) CHECK(all[i] == tokenizer->encode(texts[i]));
  }
  for (const std::string& text : texts)
    CHECK(tokenizer->count(text, {}) == std::ssize(tokenizer->encode(text)));
  texts[40] = "broken \xFF";
  CHECK_THAT(error_of([&] { encode_batch(*tokenizer, texts, {}, 2); }),
             Catch::Contains("text 40") && Catch::Contains("byte offset 7"));
}

TEST_CASE("tokenizer: invalid UTF-8 is replaced on request, special tokens are text on request") {
  const auto tokenizer = load_tokenizer(tiny_model());
  const EncodeOptions replace{.invalid_utf8 = InvalidUtf8::replace};
  CHECK(tokenizer->encode("ab\xF0\x9F\x98z\xFF", replace) == tokenizer->encode("ab\uFFFDz\uFFFD"));
  const EncodeOptions plain{.parse_special = false};
  const auto ids = tokenizer->encode("a<|im_start|>b", plain);
  CHECK(std::count(ids.begin(), ids.end(), 998) == 0);
  CHECK(tokenizer->decode(ids, false) == "a<|im_start|>b");
  CHECK(tokenizer->count("a<|im_start|>b", plain) == std::ssize(ids));
}

TEST_CASE("tokenizer: stages show how a text became its ids") {
  const auto tokenizer = load_tokenizer(tiny_model());
  const std::string text = "a e\u0301<|im_end|>\n 12";
  const EncodingStages stages = tokenizer->encode_in_stages(text, {});
  REQUIRE(stages.cut.size() == 3);
  CHECK(stages.cut[0].text == "a e\u0301");
  CHECK(stages.cut[1].added == 999);
  REQUIRE(stages.normalized.size() == 3);
  CHECK(stages.normalized[0].text == "a \u00e9");
  std::vector<std::string> pieces;
  std::vector<TokenId> ids;
  for (const auto& piece : stages.pieces) {
    pieces.push_back(piece.text);
    ids.insert(ids.end(), piece.ids.begin(), piece.ids.end());
  }
  CHECK(pieces == std::vector<std::string>{"a", " \u00e9", "<|im_end|>", "\n", " ", "1", "2"});
  CHECK(ids == tokenizer->encode(text));
}

TEST_CASE("tokenizer: vocab.json and merges.txt are read where there is no tokenizer.json") {
  const nlohmann::json file = nlohmann::json::parse(tokenizer_json());
  const ScratchDirectory scratch;
  scratch.write("vocab.json", file["model"]["vocab"].dump());
  CHECK_THAT(error_of([&] { load_tokenizer(scratch.path()); }), Catch::Contains("no merges.txt"));
  std::string merges = "#version: 0.2\n";
  for (const auto& merge : file["model"]["merges"]) {
    merges += merge[0].get<std::string>() + " " + merge[1].get<std::string>() + "\n";
  }
  scratch.write("merges.txt", merges);
  const std::string text = "The quick <|im_start|> e\u0301<|endoftext|>";
  {  // as transformers does without any other file: one special token
    const auto ids = load_tokenizer(scratch.path())->encode(text);
    CHECK(ids.back() == 997);
    CHECK(std::count(ids.begin(), ids.end(), 998) == 0);
  }
  scratch.write("added_tokens.json", R"({"<|endoftext|>": 997, "<|im_start|>": 998})");
  CHECK(load_tokenizer(scratch.path())->encode(text) == load_tokenizer(tiny_model())->encode(text));
  CHECK_FALSE(load_tokenizer(scratch.path())->is_special(998));
  scratch.write("special_tokens_map.json", R"({"additional_special_tokens": ["<|im_start|>"]})");
  CHECK(load_tokenizer(scratch.path())->is_special(998));
  std::filesystem::copy(tiny_model() / "tokenizer_config.json", scratch.path() / "tokenizer_config.json");
  CHECK(load_tokenizer(scratch.path())->size() == 1000);
  CHECK(load_tokenizer(scratch.path())->encode(text) == load_tokenizer(tiny_model())->encode(text));
  scratch.write("merges.txt", merges + "a b c\n");
  CHECK_THAT(error_of([&] { load_tokenizer(scratch.path()); }),
             Catch::Contains("merges.txt") && Catch::Contains("a b c"));
}

TEST_CASE("tokenizer: a long text full of special tokens takes no quadratic time") {
  const auto tokenizer = load_tokenizer(tiny_model());
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "<|im_start|>";
  CHECK(tokenizer->encode(text).size() == 100'000);
  CHECK(tokenizer->encode(std::string(400'000, 'a')).size() > 1000);
}

TEST_CASE("tokenizer: a tokenizer of another form is refused by name") {
  CHECK_THAT(error_with("/normalizer/type", "NFKC"),
             Catch::Contains("normalizer") && Catch::Contains("NFKC"));
  CHECK_THAT(error_with("/pre_tokenizer/pretokenizers/0/pattern/Regex", "\\p{N}{1,3"),
             !Catch::Contains("compile"));  // a brace alone is a character
  CHECK_THAT(error_with("/pre_tokenizer/pretokenizers/0/pattern/Regex", "(\\p{N}"),
             Catch::Contains("pattern does not compile"));
  CHECK_THAT(error_with("/pre_tokenizer/pretokenizers/0/behavior", "Removed"), Catch::Contains("Removed"));
  CHECK_THAT(error_with("/pre_tokenizer/pretokenizers/1/use_regex", true), Catch::Contains("use_regex"));
  CHECK_THAT(error_with("/pre_tokenizer/pretokenizers/1/use_regex", nullptr), Catch::Contains("use_regex"));
  CHECK_THAT(error_with("/model/type", "Unigram"), Catch::Contains("Unigram"));
  CHECK_THAT(error_with("/model/byte_fallback", true), Catch::Contains("byte_fallback"));
  CHECK_THAT(error_with("/model/merges/3", "a b c"), Catch::Contains("merge 3"));
  CHECK_THAT(error_with("/model/vocab/!", -1), Catch::Contains("-1"));
  CHECK_THAT(error_with("/model/merges/3", nlohmann::json{"a", "\u0120nothing"}),
             Catch::Contains("'\u0120nothing'") && Catch::Contains("lacks"));
  CHECK_THAT(error_with("/model/vocab/!", 5), Catch::Contains("id 5 belongs to two tokens"));
  CHECK_THAT(error_with("/model/vocab", {{"a", 0}}), Catch::Contains("lacks"));
  CHECK_THAT(error_with("/added_tokens/0/lstrip", 1), Catch::Contains("lstrip"));
  CHECK_THAT(error_with("/added_tokens/1/id", 1005),
             Catch::Contains("'<|im_start|>' has the id 1005") && Catch::Contains("998"));
  CHECK_THAT(error_with("/post_processor/type", "TemplateProcessing"), Catch::Contains("TemplateProcessing"));
}

TEST_CASE("tokenizer: vocabulary and merges are checked as they are read") {
  const auto error_with_text = [](const std::string& from, const std::string& to) {
    std::string text = tokenizer_json();
    const std::size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    const ScratchDirectory scratch;
    scratch.write("tokenizer.json", text.replace(at, from.size(), to));
    return error_of([&] { load_tokenizer(scratch.path()); });
  };
  CHECK_THAT(error_with_text(R"("vocab":{)", R"("vocab":{"!":1000,)"), Catch::Contains("names '!' twice"));
  CHECK_THAT(error_with_text(R"("vocab":{)", R"("vocab":{"x y":[1],)"), Catch::Contains("the id of 'x y'"));
  CHECK_THAT(error_with_text(R"("vocab":{)", R"("vocab":{"x y":{},)"), Catch::Contains("the id of 'x y'"));
  CHECK_THAT(error_with_text(R"("vocab":{)", R"("vocab":{"x y":1.5,)"),
             Catch::Contains("'x y' has the id 1.5"));
  for (const char* merge :
       {"[\"a\"],", "[\"a\",\"b\",\"c\"],", "[[\"a\",\"b\"]],", "{},", "1,", "[1,\"a\"],", "\"a\","}) {
    INFO(merge);
    CHECK_THAT(error_with_text(R"("merges":[)", R"("merges":[)" + std::string(merge)),
               Catch::Contains("merge 0"));
  }
  CHECK_THAT(error_with_text(R"("merges":[)", R"("merges":7,"other":[)"), Catch::Contains("has no merges"));
  CHECK_THAT(error_with_text(R"("model":{)", R"("model":{"merges":[],)"),
             Catch::Contains("names 'merges' twice"));
}

TEST_CASE("tokenizer: merges may be written as pairs or as one string") {
  nlohmann::json file = nlohmann::json::parse(tokenizer_json());
  for (auto& merge : file["model"]["merges"]) {
    merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  }
  const ScratchDirectory scratch;
  scratch.write("tokenizer.json", file.dump());
  const std::string text = "The quick brown fox, 123!";
  CHECK(load_tokenizer(scratch.path())->encode(text) == load_tokenizer(tiny_model())->encode(text));
}
