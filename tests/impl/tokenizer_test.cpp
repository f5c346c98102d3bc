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

std::vector<ChatMessage> messages_of(const nlohmann::json& chat) {
  std::vector<ChatMessage> messages;
  for (const auto& message : chat.at("messages")) {
    messages.push_back({message.at("role"), message.at("content")});
  }
  return messages;
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

TEST_CASE("tokenizer: renders every golden chat as the template does, to the same ids") {
  const auto tokenizer = load_tokenizer(tiny_model());
  const nlohmann::json golden = goldens();
  for (const auto& each : golden.at("chats")) {
    INFO(each.at("note"));
    const std::string text = tokenizer->render_chat(messages_of(each), each.at("add_generation_prompt"));
    CHECK(text == each.at("text").get<std::string>());
    CHECK(tokenizer->encode(text) == each.at("ids").get<std::vector<TokenId>>());
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
  CHECK_THAT(error_with("/normalizer", nullptr), Catch::Contains("normalizer"));
  CHECK_THAT(error_with("/pre_tokenizer/pretokenizers/0/pattern/Regex", "\\p{N}{1,3}"),
             Catch::Contains("pattern") && Catch::Contains("1,3"));
  CHECK_THAT(error_with("/pre_tokenizer/pretokenizers/0/behavior", "Removed"), Catch::Contains("Removed"));
  CHECK_THAT(error_with("/pre_tokenizer/pretokenizers/1/use_regex", true), Catch::Contains("use_regex"));
  CHECK_THAT(error_with("/model/type", "Unigram"), Catch::Contains("Unigram"));
  CHECK_THAT(error_with("/model/byte_fallback", true), Catch::Contains("byte_fallback"));
  CHECK_THAT(error_with("/model/merges/3", "a b c"), Catch::Contains("merge 3"));
  CHECK_THAT(error_with("/model/vocab/!", -1), Catch::Contains("-1"));
  CHECK_THAT(error_with("/added_tokens/0/lstrip", true), Catch::Contains("lstrip"));
  CHECK_THAT(error_with("/post_processor/type", "TemplateProcessing"), Catch::Contains("TemplateProcessing"));
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

TEST_CASE("tokenizer: a chat needs a ChatML template") {
  const ScratchDirectory scratch;
  scratch.write("tokenizer.json", tokenizer_json());
  const std::vector<ChatMessage> chat{{"user", "Hi"}};
  CHECK_THAT(error_of([&] { load_tokenizer(scratch.path())->render_chat(chat, true); }),
             Catch::Contains("no chat_template"));
  scratch.write("tokenizer_config.json", R"({"chat_template": "[INST] {{ messages }} [/INST]"})");
  CHECK_THAT(error_of([&] { load_tokenizer(scratch.path())->render_chat(chat, true); }),
             Catch::Contains("not ChatML"));
}

TEST_CASE("tokenizer: without a default system text in the template none is put in") {
  const ScratchDirectory scratch;
  scratch.write("tokenizer.json", tokenizer_json());
  scratch.write("chat_template.jinja", "{% for m in messages %}{{ '<|im_start|>' + m.role }}{% endfor %}");
  const std::vector<ChatMessage> chat{{"user", "Hi"}};
  CHECK(load_tokenizer(scratch.path())->render_chat(chat, true) ==
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
}
