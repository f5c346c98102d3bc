// vocab.json and merges.txt, against what transformers makes of the same files.
#include <catch2/catch.hpp>

#include "impl/tokenizer.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

std::string merges_of(const nlohmann::json& model) {
  std::string merges = "#version: 0.2\n";
  for (const auto& merge : model.at("merges")) {
    merges += merge[0].get<std::string>() + " " + merge[1].get<std::string>() + "\n";
  }
  return merges;
}

}  // namespace

TEST_CASE("tokenizer: vocab.json and merges.txt as transformers takes them") {
  const nlohmann::json golden = read_json(source_path("fixtures/goldens/tokenizer_files.json"));
  const nlohmann::json model = read_json(tiny_model() / "tokenizer.json").at("model");
  const auto text = golden.at("text").get<std::string>();
  for (const nlohmann::json& item : golden.at("cases")) {
    INFO(item.at("note").get<std::string>());
    const ScratchDirectory scratch;
    scratch.write("vocab.json", model.at("vocab").dump());
    scratch.write("merges.txt", merges_of(model));
    for (const auto& [name, content] : item.at("files").items()) {
      if (name != "config.json") scratch.write(name, content.dump());  // says the kind of model alone
    }
    if (item.at("contradicted")) {
      CHECK_THAT(error_of([&] { load_tokenizer(scratch.path()); }), Catch::Contains("would give it 997"));
      continue;
    }
    const auto tokenizer = load_tokenizer(scratch.path());
    CHECK(tokenizer->encode(text) == item.at("ids").get<std::vector<TokenId>>());
    for (const nlohmann::json& token : item.at("added_tokens")) {
      INFO(token.dump());
      CHECK(tokenizer->token_bytes(token.at("id")) == token.at("content").get<std::string>());
      CHECK(tokenizer->is_special(token.at("id")) == token.at("special").get<bool>());
    }
  }
}
