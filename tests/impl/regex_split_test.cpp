#include "impl/tokenization/regex_split.h"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "impl/tokenization/pretokenizer.h"
#include "tests/impl/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

namespace {

using Pieces = std::vector<std::string>;

Pieces split(const std::string& pattern, std::string_view text) {
  Pieces pieces;
  RegexSplit(pattern, "test").split(text, [&](std::string_view piece) { pieces.emplace_back(piece); });
  return pieces;
}

}  // namespace

TEST_CASE("regex_split: matches and the text between them are pieces") {
  CHECK(split("\\p{N}{1,3}", "ab1234cd") == Pieces{"ab", "123", "4", "cd"});
  CHECK(split("x*", "axxb") == Pieces{"a", "xx", "b"});
  CHECK(split("b", "").empty());
  CHECK(split("[^\\s\\p{L}]+", "a12 b") == Pieces{"a", "12", " b"});
  CHECK(split("\\P{L}", "a\u00e91") == Pieces{"a\u00e9", "1"});
}

TEST_CASE("regex_split: letters are those of impl/unicode.h, not of PCRE2's Unicode") {
  CHECK(split("\\p{L}+", "a\U00031350b!") == Pieces{"a\U00031350b", "!"});  // a letter since Unicode 15.0
  CHECK(split("\\s", "a\u180eb\u2003c") == Pieces{"a\u180eb", "\u2003", "c"});
}

TEST_CASE("regex_split: Qwen2's own pattern is cut as the scanner cuts it") {
  const PreTokenizer scanner{std::string(kQwen2Pattern), "test"};
  for (const char* text : {"I'm sure: 12 %\r\n\n  we'LL\tgo ", " \n \n  x",
                           "caf\u00e9's \u4e2d\u6587\u3002 a  b", "'\u017f 'S 'x"}) {
    Pieces pieces;
    scanner.split(text, [&](std::string_view piece) { pieces.emplace_back(piece); });
    CHECK(split(std::string(kQwen2Pattern), text) == pieces);
  }
}

TEST_CASE(
    "regex_split: what engines take differently is refused, and characters too new for PCRE2's categories") {
  for (const char* pattern : {"\\w+", "a\\b", "[a-z&&[^b]]", "[[:alpha:]]", "\\h"}) {
    CHECK_THAT(error_of([&] { split(pattern, "a"); }), Catch::Contains("engines take differently"));
  }
  CHECK_THAT(error_of([&] { split("(", "a"); }), Catch::Contains("does not compile"));
  CHECK(split("\\p{Lu}", "aBc") == Pieces{"a", "B", "c"});
  CHECK_THAT(error_of([&] { split("\\p{Lu}", "ab\U00010D50"); }),  // Garay, Unicode 16.0
             Catch::Contains("U+10D50 at byte offset 2"));
}
