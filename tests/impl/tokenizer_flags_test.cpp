// Added tokens with all their flags, against what Hugging Face's tokenizers gives.
#include <catch2/catch.hpp>

#include "impl/tokenizer.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

// tiny's tokenizer with other added tokens.
void write_variant(const ScratchDirectory& scratch, const nlohmann::json& variant) {
  static const nlohmann::json tiny = read_json(tiny_model() / "tokenizer.json");
  nlohmann::json file = tiny;
  file["added_tokens"] = variant.at("added_tokens");
  file["normalizer"] = variant.at("normalizer");
  scratch.write("tokenizer.json", file.dump());
}

// A golden value; null stands for what it would repeat.
template <typename T>
T golden_or(const nlohmann::json& value, const T& repeated) {
  return value.is_null() ? repeated : value.get<T>();
}

}  // namespace

TEST_CASE("tokenizer: added tokens with all flags, as Hugging Face's tokenizers") {
  const nlohmann::json golden = read_json(source_path("fixtures/goldens/tokenizer_flags.json"));
  int compared = 0;
  for (const nlohmann::json& group : golden.at("groups")) {
    const auto texts = group.at("texts").get<std::vector<std::string>>();
    for (const nlohmann::json& variant : group.at("variants")) {
      const std::string note =
          group.at("name").get<std::string>() + ": " + variant.at("note").get<std::string>();
      INFO(note);
      const ScratchDirectory scratch;
      write_variant(scratch, variant);
      if (group.at("name") == "contradicted") {
        CHECK_THAT(error_of([&] { load_tokenizer(scratch.path()); }), Catch::Contains("added token"));
        continue;
      }
      const auto tokenizer = load_tokenizer(scratch.path());
      for (std::size_t i = 0; i < texts.size(); ++i) {
        INFO(texts[i]);
        const auto ids = variant.at("ids")[i].get<std::vector<TokenId>>();
        const auto as_text = golden_or(variant.at("as_text")[i], ids);
        const auto decoded = golden_or(variant.at("decoded")[i], texts[i]);
        CHECK(tokenizer->encode(texts[i]) == ids);
        CHECK(tokenizer->encode(texts[i], {.parse_special = false}) == as_text);
        CHECK(tokenizer->decode(ids, false) == decoded);
        CHECK(tokenizer->decode(ids, true) == golden_or(variant.at("skipped")[i], decoded));
        ++compared;
      }
    }
  }
  CHECK(compared > 5000);
}
