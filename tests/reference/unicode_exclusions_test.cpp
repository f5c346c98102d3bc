#include "reference/unicode_exclusions.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <map>

using namespace plumbline;
using Catch::Contains;
using reference::excluded;
using reference::ExclusionKind;

namespace {

std::string utf8(char32_t c) {  // of code points from U+0080 on
  const auto tail = [c](int shift) { return static_cast<char>(0x80 | (c >> shift & 0x3F)); };
  if (c < 0x800) return {static_cast<char>(0xC0 | c >> 6), tail(0)};
  if (c < 0x10000) return {static_cast<char>(0xE0 | c >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xF0 | c >> 18), tail(12), tail(6), tail(0)};
}

// Reason -> how many code points it stands for.
std::map<std::string, int> counts() {
  std::map<std::string, int> by_reason;
  for (const auto& range : reference::exclusions())
    by_reason[range.reason] += static_cast<int>(range.last - range.first) + 1;
  return by_reason;
}

}  // namespace

TEST_CASE("exclusions: nothing that has been the same for long is among them", "[reference][tokenizer]") {
  for (const char* text :
       {"", "Hello, world 123\n", "e\u0301 \u00e9 q\u0323\u0307 \u1e9b\u0323", "\u3000\u2003\u180e",
        "\u4e2d\u6587 \ud55c\uae00 \u1100\u1161\u11a8", "\U0001f642\u200d\U0001f3fd\ufe0f",
        "\u0661\u0662 \u2167 \u00bd \u16ee", "\ue000\uffff\U0010ffff", "\xff\xc3"}) {
    INFO(text);
    CHECK_FALSE(excluded(text, true));
  }
}

TEST_CASE("exclusions: every one is one to excluded(), with its offset and reason",
          "[reference][tokenizer]") {
  for (const auto& range : reference::exclusions()) {
    const auto found = excluded(std::string("ab").append(utf8(range.first)), true);
    REQUIRE(found);
    CHECK(found->code_point == range.first);
    CHECK(found->offset == 2);
    CHECK_THAT(found->reason, Contains("U+") && Contains("not to"));
    if (range.kind != ExclusionKind::word) CHECK(excluded(utf8(range.last)));
  }
}

// With Debian 12's libraries, whose answers were counted by other means too.
TEST_CASE("exclusions: PCRE2 10.42 and ICU 72.1 by count", "[reference][tokenizer]") {
  const std::string split = "tokenizers 0.23.3 (Unicode 16.0)";
  const std::string nfc = "tokenizers 0.23.3 (Unicode 9.0)";
  const std::string pcre2 = "PCRE2 10.42 (Unicode 14.0.0)";
  const std::string icu = "ICU 72.1 (Unicode 15.0)";
  const std::map<std::string, int> expected{{"a letter to " + split + ", not to " + pcre2, 9272},
                                            {"a number to " + split + ", not to " + pcre2, 120},
                                            {"a word's to " + split + ", not to " + icu, 5055},
                                            {"reordered to " + icu + ", not to " + nfc, 108},
                                            {"composed to " + icu + ", not to " + nfc, 1}};
  const auto found = counts();
  const auto of_library = [&](const std::string& library) {
    return std::any_of(found.begin(), found.end(),
                       [&](const auto& entry) { return entry.first.find(library) != std::string::npos; });
  };
  if (of_library(pcre2) && of_library(icu)) CHECK(found == expected);
}
