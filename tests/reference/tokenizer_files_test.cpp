// The files that a tokenizer comes from: vocab.json and merges.txt, merges in any order, and broken ones.
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

const json& tiny_model() {
  static const json model = test::read_json(test::tiny_model() / "tokenizer.json").at("model");
  return model;
}

std::string merges_text(const std::string& line_end = "\n") {
  std::string text = "#version: 0.2" + line_end;
  for (const json& merge : tiny_model().at("merges"))
    text += merge.at(0).get<std::string>() + " " + merge.at(1).get<std::string>() + line_end;
  return text;
}

// vocab.json and merges.txt of the tiny model, with `files` (name -> text) over or beside them.
std::unique_ptr<Tokenizer> load(const std::map<std::string, std::string>& files) {
  TemporaryDirectory directory;
  std::map<std::string, std::string> all = files;
  all.emplace("vocab.json", tiny_model().at("vocab").dump());
  all.emplace("merges.txt", merges_text());
  for (const auto& [name, text] : all) {
    if (!text.empty()) test::write_text(directory / name, text);
  }
  return reference::load_tokenizer(directory.path());
}

std::string refusal(const std::map<std::string, std::string>& files) {
  const std::string message = error_of([&] { load(files); });
  CHECK_THAT(message, !Contains("\n"));
  return message;
}

// A tokenizer.json of the bytes and these merges, in order; the results get the ids from 256 on.
std::unique_ptr<Tokenizer> with_merges(const std::vector<std::pair<std::string, std::string>>& merges) {
  json file = test::read_json(test::tiny_model() / "tokenizer.json");
  json vocab = json::object();
  for (const auto& [token, id] : tiny_model().at("vocab").items()) {
    if (id < 256) vocab[token] = id;
  }
  for (const auto& [left, right] : merges) {
    if (!vocab.contains(left + right)) vocab[left + right] = vocab.size();
  }
  file["model"]["vocab"] = vocab;
  file["model"]["merges"] = merges;
  file["added_tokens"] = json::array();
  TemporaryDirectory directory;
  test::write_text(directory / "tokenizer.json", file.dump());
  return reference::load_tokenizer(directory.path());
}

}  // namespace

TEST_CASE("tokenizer files: vocab.json and merges.txt as transformers takes them", "[reference][tokenizer]") {
  const json golden = test::read_json(test::fixture("goldens/tokenizer_files.json"));
  const auto text = golden.at("text").get<std::string>();
  for (const json& item : golden.at("cases")) {
    INFO(item.at("note").get<std::string>());
    std::map<std::string, std::string> files;
    for (const auto& [name, content] : item.at("files").items()) {
      if (name != "config.json") files[name] = content.dump();  // says the kind of model alone
    }
    if (item.at("contradicted")) {
      CHECK_THAT(refusal(files), Contains("gives it 997"));
      continue;
    }
    const auto tokenizer = load(files);
    CHECK(tokenizer->encode(text) == item.at("ids").get<Ids>());
    for (const json& token : item.at("added_tokens")) {
      INFO(token.dump());
      CHECK(tokenizer->token_bytes(token.at("id")) == token.at("content"));
      CHECK(tokenizer->is_special(token.at("id")) == token.at("special"));
    }
  }
}

TEST_CASE("tokenizer files: merges.txt in other shapes", "[reference][tokenizer]") {
  const Ids ids = load({})->encode("Hello the group");
  CHECK(ids == Ids{508, 259, 314, 81, 857});  // by transformers 5.23
  CHECK(load({{"merges.txt", merges_text("\r\n")}})->encode("Hello the group") == ids);
  const std::string text = merges_text();
  CHECK(load({{"merges.txt", text.substr(text.find('\n') + 1)}})->encode("Hello the group") == ids);
  CHECK_THAT(refusal({{"merges.txt", text + "\n"}}), Contains("merges.txt, line 743: merge '' is no pair"));
  CHECK_THAT(refusal({{"merges.txt", text + "a b c\n"}}), Contains("merge 'a b c' is no pair"));
  CHECK_THAT(refusal({{"merges.txt", text + "zz qq\n"}}), Contains("needs the token 'zz'"));
  CHECK_THAT(refusal({{"merges.txt", "# ours\n" + text}}), Contains("merge '# ours' needs the token 'ours'"));
}

TEST_CASE("tokenizer files: one of the pair, or broken ones", "[reference][tokenizer]") {
  CHECK_THAT(refusal({{"merges.txt", ""}}), Contains("has vocab.json but no merges.txt"));
  CHECK_THAT(refusal({{"vocab.json", ""}}), Contains("has merges.txt but no vocab.json"));
  CHECK_THAT(refusal({{"merges.txt", ""}, {"vocab.json", ""}}), Contains("has no tokenizer.json"));
  CHECK_THAT(refusal({{"vocab.json", "{"}}), Contains("vocab.json: not valid JSON"));
  CHECK_THAT(refusal({{"vocab.json", R"({"a": "b"})"}}),
             Contains("the id of 'a' is no reasonable whole number"));
  CHECK_THAT(refusal({{"vocab.json", R"({"a": -1})"}}), Contains("the id of 'a'"));
  CHECK_THAT(refusal({{"vocab.json", R"({"a": 1, "a": 2})"}}), Contains("has the key 'a' twice"));
  CHECK_THAT(refusal({{"vocab.json", R"({"a": 1, "b": 1})"}}),
             Contains("id 1 belongs to two tokens, 'a' and 'b'"));
  CHECK_THAT(refusal({{"vocab.json", R"({"a": 1})"}}), Contains("vocab lacks the symbol of byte 0"));
  CHECK_THAT(refusal({{"tokenizer_config.json", R"({"added_tokens_decoder": 5})"}}),
             Contains("added_tokens_decoder must be an object"));
  CHECK_THAT(refusal({{"tokenizer_config.json", R"({"added_tokens_decoder": {"x": {}}})"}}),
             Contains("'x' is no token's id"));
  CHECK_THAT(refusal({{"tokenizer_config.json", R"({"eos_token": 7})"}}), Contains("eos_token"));
  CHECK_THAT(refusal({{"tokenizer_config.json", R"({"add_prefix_space": true})"}}),
             Contains("add_prefix_space"));
}

// By tokenizers 0.23.3.
TEST_CASE("tokenizer files: merges out of order, and twice", "[reference][tokenizer]") {
  const auto id = [](const Tokenizer& tokenizer, const std::string& token) {
    for (TokenId i = 256; i < tokenizer.size(); ++i) {
      if (tokenizer.token_bytes(i) == token) return i;
    }
    return tokenizer.encode(token).front();
  };
  const auto twice = with_merges({{"a", "b"}, {"b", "c"}, {"a", "b"}});  // the last place counts
  CHECK(twice->encode("abc") == Ids{id(*twice, "a"), id(*twice, "bc")});
  // "ab" is merged after "abx" in the list: the first "ab" becomes "abab" only if all "ab" are made first.
  const auto odd = with_merges({{"ab", "a"}, {"a", "b"}, {"ab", "ab"}});
  CHECK(odd->encode("abab") == Ids{id(*odd, "aba"), id(*odd, "b")});
  CHECK(odd->encode("ababab") == Ids{id(*odd, "aba"), id(*odd, "b"), id(*odd, "ab")});
  const auto run = with_merges({{"a", "a"}, {"aa", "a"}});
  CHECK(run->encode("aaaaa") == Ids{id(*run, "aa"), id(*run, "aaa")});
}
