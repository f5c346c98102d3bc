#include "impl/tokenization/pretokenizer.h"

#include <catch2/catch.hpp>

#include "tests/impl/support.h"

using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

std::vector<std::string> pieces(std::string_view text) {
  std::vector<std::string> all;
  const PreTokenizer qwen2{std::string(kQwen2Pattern), "test"};
  qwen2.split(text, [&](std::string_view piece) { all.emplace_back(piece); });
  return all;
}

using Pieces = std::vector<std::string>;

}  // namespace

TEST_CASE("pretokenizer: contractions are cut off in any case, long s included") {
  CHECK(pieces("I'm we'LL") == Pieces{"I", "'m", " we", "'LL"});
  CHECK(pieces("it'\u017f") == Pieces{"it", "'\u017f"});
  CHECK(pieces("'sun") == Pieces{"'s", "un"});
  CHECK(pieces("'l") == Pieces{"'l"});  // no contraction, but a sign before a letter
  CHECK(pieces("'r 'v") == Pieces{"'r", " '", "v"});
}

TEST_CASE("pretokenizer: one sign or space joins the letters after it, no line end does") {
  CHECK(pieces("(a $b\tc") == Pieces{"(a", " $", "b", "\tc"});
  CHECK(pieces("\na\rb") == Pieces{"\n", "a", "\r", "b"});
  CHECK(pieces("\u00a0a") == Pieces{"\u00a0a"});
}

TEST_CASE("pretokenizer: every number stands alone") {
  CHECK(pieces("a123") == Pieces{"a", "1", "2", "3"});
  CHECK(pieces(" 1") == Pieces{" ", "1"});
  CHECK(pieces("\u00bd\u0661\u2167") == Pieces{"\u00bd", "\u0661", "\u2167"});
}

TEST_CASE("pretokenizer: signs take line ends with them") {
  CHECK(pieces("!!\n\nx") == Pieces{"!!\n\n", "x"});
  CHECK(pieces(" ?!\r\n a") == Pieces{" ?!\r\n", " a"});
  CHECK(pieces("-\n -") == Pieces{"-\n", " -"});
}

TEST_CASE("pretokenizer: white space ends after its last line end, else leaves one for what follows") {
  CHECK(pieces("  \n \n  a") == Pieces{"  \n \n", " ", " a"});
  CHECK(pieces("a   b") == Pieces{"a", "  ", " b"});
  CHECK(pieces("a   ") == Pieces{"a", "   "});
  CHECK(pieces("   1") == Pieces{"  ", " ", "1"});
  CHECK(pieces("\u3000\u3000\u4e2d") == Pieces{"\u3000", "\u3000\u4e2d"});
  CHECK(pieces("").empty());
}

TEST_CASE("pretokenizer: cuts the golden texts as Hugging Face's Split does") {
  int compared = 0;
  const nlohmann::json golden = read_json(source_path("fixtures/goldens/tiny/tokenization.json"));
  for (const auto& each : golden.at("cases")) {
    if (!each.contains("pretokens") || each.at("pretokens").is_null()) continue;
    INFO(each.at("note"));
    std::string text;
    for (const auto& piece : each.at("pretokens")) text += piece.get<std::string>();  // already NFC
    CHECK(pieces(text) == each.at("pretokens").get<Pieces>());
    ++compared;
  }
  CHECK(compared > 50);
}
