#include "impl/generation/text_stream.h"

#include <random>

#include <catch2/catch.hpp>

#include "impl/unicode.h"
#include "tests/impl/generation/support.h"

using namespace plumbline;
using namespace plumbline::native;
using namespace plumbline::native::testing;

TEST_CASE("text stream: pieces are whole characters, and joined they are the decoded text") {
  for (const std::string text : {"1 2 3", "naïve — 数字 🎉👩‍👩‍👧", "é\xCC\x81 ͏ א",
                                 "<|im_start|>user\nhi<|im_end|>"}) {
    for (const bool skip : {false, true}) {
      const auto ids = encode(text);
      TextStream stream(tiny_tokenizer(), skip);
      std::string joined;
      for (const TokenId id : ids) {
        const std::string piece = stream.push(id);
        CHECK(find_invalid_utf8(piece) == std::string::npos);
        CHECK(piece.find("\xEF\xBF\xBD") == std::string::npos);
        joined += piece;
      }
      joined += stream.finish();
      CHECK(joined == tiny_tokenizer().decode(ids, skip));
    }
  }
}

TEST_CASE("text stream: any ids at all, joined, are what decode gives") {
  std::mt19937 random(3);
  const auto size = static_cast<int>(tiny_tokenizer().size());
  bool replaced = false;
  for (int round = 0; round < 400; ++round) {
    std::vector<TokenId> ids;
    // The 256 single bytes are the first tokens: most sequences are no UTF-8.
    for (int i = 0; i < 12; ++i)
      ids.push_back(static_cast<TokenId>(random() % static_cast<unsigned>(round % 2 ? 256 : size)));
    TextStream stream(tiny_tokenizer(), false);
    std::string joined;
    for (const TokenId id : ids) {
      const std::string piece = stream.push(id);
      CHECK(find_invalid_utf8(piece) == std::string::npos);
      joined += piece;
    }
    joined += stream.finish();
    replaced |= joined.find("\xEF\xBF\xBD") != std::string::npos;
    CHECK(joined == tiny_tokenizer().decode(ids, false));
  }
  CHECK(replaced);
}

TEST_CASE("text stream: an id out of range throws and changes nothing") {
  TextStream stream(tiny_tokenizer(), false);
  const auto ids = encode("数");
  REQUIRE(ids.size() > 1);
  CHECK(stream.push(ids[0]).empty());
  CHECK_FALSE(error_of([&] { stream.push(1 << 20); }).empty());
  std::string rest;
  for (std::size_t i = 1; i < ids.size(); ++i) rest += stream.push(ids[i]);
  CHECK(rest == "数");
}

namespace {

// What came out for a text in pieces, and what stopped it.
std::string pieces(std::vector<std::string> stops, const std::vector<std::string>& text, std::string& found) {
  StopStrings matcher(std::move(stops));
  std::string out;
  for (const std::string& each : text) out += matcher.push(each);
  out += matcher.finish();
  found = matcher.found().value_or("");
  return out;
}

}  // namespace

TEST_CASE("stop strings: found across pieces, and nothing of them or after them comes out") {
  std::string found;
  CHECK(pieces({"\n\n"}, {"one\n", "\ntwo"}, found) == "one");
  CHECK(found == "\n\n");
  CHECK(pieces({"END"}, {"a", "E", "N", "x", "E", "N", "D", "z"}, found) == "aENx");
  CHECK(found == "END");
  CHECK(pieces({"aab"}, {"a", "a", "a", "b"}, found) == "a");
  CHECK(pieces({"xyz"}, {"xy"}, found) == "xy");  // the text ends before it is whole
  CHECK(found.empty());
  CHECK(pieces({}, {"all ", "of it"}, found) == "all of it");
}

TEST_CASE("stop strings: the one that begins first, then the longest") {
  std::string found;
  CHECK(pieces({"cd", "bcd", "bc"}, {"abcde"}, found) == "a");
  CHECK(found == "bcd");
  CHECK(pieces({"bcd", "cd"}, {"xcd", "bcd"}, found) == "x");
  CHECK(found == "cd");
}

TEST_CASE("stop strings: what might be the beginning of one waits, no more than that") {
  StopStrings matcher({"STOP"});
  CHECK(matcher.push("go S") == "go ");
  CHECK(matcher.push("T") == "");
  CHECK(matcher.push("ART") == "START");
  CHECK(matcher.push("ST") == "");
  CHECK(matcher.finish() == "ST");
}
