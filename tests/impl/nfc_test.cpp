// Normalisation form C: what changes, what does not, and where the local normalisation may cut.
#include <algorithm>
#include <catch2/catch.hpp>
#include <ctime>
#include <string>
#include <vector>

#include "impl/unicode.h"

using namespace plumbline::native;

namespace {

std::string utf8(std::u32string_view code_points) {
  std::string text;
  for (const char32_t c : code_points) append_utf8(text, c);
  return text;
}

// Of its combining class, among those in use.
int rank(char32_t c) {
  return nfc_entry(c) & kNfcRank;
}

std::vector<char32_t> marks() {
  std::vector<char32_t> found;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (rank(c) != 0) found.push_back(c);
  }
  return found;
}

std::string repeat(const std::string& part, std::size_t times) {
  std::string text;
  for (std::size_t i = 0; i < times; ++i) text += part;
  return text;
}

// Of the processor: others may keep it busy meanwhile.
double seconds_of(const std::string& text) {
  const std::clock_t start = std::clock();
  CHECK_FALSE(nfc(text).empty());
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

}  // namespace

TEST_CASE("nfc: composes, reorders and replaces singletons") {
  CHECK(nfc("") == "");
  CHECK(nfc("plain") == "plain");
  CHECK(nfc("e\u0301") == "\u00e9");
  CHECK(nfc("\u212b") == "\u00c5");                     // Angstrom sign
  CHECK(nfc("\u2126") == "\u03a9");                     // ohm sign
  CHECK(nfc("a\u0323\u0307") == nfc("a\u0307\u0323"));  // canonical order
  CHECK(nfc("q\u0307\u0323") == "q\u0323\u0307");
  CHECK(nfc("a\u0302\u0301") == "\u1ea5");                       // two steps
  CHECK(nfc("a\u0300\u0301") == "\u00e0\u0301");                 // nothing composes twice with one class
  CHECK(nfc("a\u0305\u0301") == "a\u0305\u0301");                // blocked by a mark of the same class
  CHECK(nfc("a\u0327\u0301") == "\u00e1\u0327");                 // over a mark of a lower class
  CHECK(nfc("\u0344") == "\u0308\u0301");                        // a mark of two marks
  CHECK(nfc("\U0001d158\U0001d165") == "\U0001d158\U0001d165");  // excluded
  CHECK(nfc("\U0001d15e") == "\U0001d157\U0001d165");            // excluded
  CHECK(nfc("\u0958") == "\u0915\u093c");                        // excluded
  CHECK(nfc("\u0915\u093c") == "\u0915\u093c");
  CHECK(nfc("\u09c7\u09be") == "\u09cb");                    // the second is of class 0
  CHECK(nfc("\u09c7\u0301\u09be") == "\u09c7\u0301\u09be");  // and blocked
  CHECK(nfc("\U0002f800") == "\u4e3d");                      // a compatibility ideograph
}

TEST_CASE("nfc: Hangul") {
  CHECK(nfc("\u1112\u1161\u11ab") == "\ud55c");
  CHECK(nfc("\uac00\u11a8") == "\uac01");
  CHECK(nfc("\uac01\u11a8") == "\uac01\u11a8");  // has a final already
  CHECK(nfc("\u1100\u11a8") == "\u1100\u11a8");  // no vowel
  CHECK(nfc("\uac00\u11a7") == "\uac00\u11a7");  // one below the finals
  CHECK(nfc("\u1100\u1176") == "\u1100\u1176");  // one above the vowels
  CHECK(nfc("\u1113\u1161") == "\u1113\u1161");  // one above the leads
  CHECK(nfc("\u1100\u0301\u1161") == "\u1100\u0301\u1161");
  CHECK(nfc("\u1161\u11a8") == "\u1161\u11a8");
  CHECK(nfc("\uac00\uac01\u1100\u1100\u1161") == "\uac00\uac01\u1100\uac00");
}

TEST_CASE("nfc: what Unicode 10 and later added is inert") {
  CHECK(nfc_version() == "9.0.0");
  CHECK(nfc("q\u0301\u1df9") == "q\u0301\u1df9");                // 10.0, class 220: would go before
  CHECK(nfc("q\u0301\u1dfb") == "q\u0301\u1dfb");                // 9.0, class 230
  CHECK(nfc("q\u0301\U0001e94a") == "q\U0001e94a\u0301");        // 9.0, class 7
  CHECK(nfc("\U00011935\U00011930") == "\U00011935\U00011930");  // 13.0, would compose
  CHECK(nfc("\U000105d2\u0307") == "\U000105d2\u0307");          // 16.0, would compose
  CHECK(nfc("\U00011938") == "\U00011938");
}

TEST_CASE("nfc: marks at the boundaries of the local normalisation") {
  CHECK(nfc("\u0301") == "\u0301");
  CHECK(nfc("\u0301\u0323a") == "\u0323\u0301a");  // no starter before them
  CHECK(nfc("\u00e9\u0323") == "\u1eb9\u0301");    // reaches back into a composed letter
  CHECK(nfc("\u1e69x\u0323\u0307") == "\u1e69\u1e8b\u0323");
  CHECK(nfc("s\u0307\u0323s\u0323\u0307") == "\u1e69\u1e69");  // two spans side by side
  CHECK(nfc("ab\u0301c") == "ab\u0301c");
  CHECK(nfc("abe\u0301cde\u0301") == "ab\u00e9cd\u00e9");
  CHECK(nfc("a\u0323\u0323\u0301\u0301") == "\u1ea1\u0323\u0301\u0301");  // same classes keep their order
  CHECK(nfc("\u212b\u0301\u212b") == "\u01fa\u00c5");
  CHECK(nfc("\u4e2d\u0301\u6587") == "\u4e2d\u0301\u6587");
  CHECK(nfc("\u0f71\u0f72\u0f74") == "\u0f71\u0f72\u0f74");
  CHECK(nfc("\u0f73\u0f71") == "\u0f71\u0f71\u0f72");
}

TEST_CASE("nfc: only a doubtful text may change") {
  for (const char* const certain :
       {"", "plain", "\u00e9\u00fc", "\u4e2d\u6587", "\ud55c\uad6d", "\u0928\u092e\u0938\u094d\u0924\u0947",
        "\u064e\u0651", "\u0e17\u0e35\u0e48", "q\U0001e94aq", "q\u0316\u0316\u0305", "q\u0305q\u0316",
        "q\u0305 \u0316", "\u4e2d\u0305\u4e2d\u0316"}) {
    CHECK_FALSE(may_change_under_nfc(certain));
    CHECK(nfc(certain) == certain);
  }
  for (const char* const doubtful :
       {"e\u0301", "q\u0301", "\u212b", "q\u0345\u0334", "\u1100\u1161", "\u0958"}) {
    CHECK(may_change_under_nfc(doubtful));
  }
  CHECK(find_nfc_doubt("ab\u0301\u0301") == 2);
  CHECK(find_nfc_doubt("ab\u0301\u0301", 4) == 4);
  CHECK(find_nfc_doubt("ab\u0301c", 4) == std::string_view::npos);
}

TEST_CASE(
    "nfc: what it changes was in doubt, and its answer is stable: each code point alone and behind a "
    "letter") {
  std::size_t changed = 0;
  bool right = true;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    const std::string alone = utf8({&c, 1});
    for (const std::string& text : {alone, "a" + alone, alone + "a"}) {
      const std::string normal = nfc(text);
      if (normal != text) right = right && may_change_under_nfc(text);
      right = right && nfc(normal) == normal;
    }
    changed += nfc(alone) != alone ? 1 : 0;
  }
  CHECK(right);
  CHECK(changed == 1120);
}

TEST_CASE("nfc: two marks come in the order of their classes, and in none other") {
  const std::vector<char32_t> all = marks();
  CHECK(all.size() == 814);
  bool right = true;
  for (const char32_t a : all) {
    for (const char32_t b : all) {
      const std::string text = utf8(std::u32string{U'q', a, b});
      const std::string normal = nfc(text);
      right = right && (normal == text || may_change_under_nfc(text));
      if (rank(a) > rank(b)) {
        right = right && normal == nfc(utf8(std::u32string{U'q', b, a}));
      } else if (nfc(utf8({&a, 1})) == utf8({&a, 1}) && nfc(utf8({&b, 1})) == utf8({&b, 1})) {
        right = right && normal == text;
      }
    }
  }
  CHECK(right);
}

TEST_CASE("nfc: every composition composes, alone and among others") {
  bool right = true;
  for (const Composition& pair : kCompositions) {
    const std::string apart = utf8(std::u32string{pair.first, pair.second});
    const std::string together = utf8({&pair.composite, 1});
    right = right && nfc(apart) == together && may_change_under_nfc(apart) && nfc(together) == together;
    right = right && nfc("x" + apart + "\u4e2d" + apart) == "x" + together + "\u4e2d" + together;
  }
  CHECK(right);
  CHECK(kCompositions.size() == 940);
}

TEST_CASE("nfc: a long run of marks is ordered in one go") {
  const std::size_t count = 200000;
  const std::string run = "q" + repeat("\u0301\u0323", count) + "z";
  CHECK(nfc(run) == "q" + repeat("\u0323", count) + repeat("\u0301", count) + "z");
  const std::string mixed = "q" + repeat("\u0301\u0305\u0323\u0316", count);
  CHECK(nfc(mixed) == "q" + repeat("\u0323\u0316", count) + repeat("\u0301\u0305", count));
  const std::string jamo = repeat("\u1100\u1161\u11a8", count);
  CHECK(nfc(jamo) == repeat("\uac01", count));
}

// Wide margins: what is meant is that nothing is quadratic, where ten times the length costs a hundred times.
TEST_CASE("nfc: the cost is linear in the length") {
  for (const std::string part :
       {"\u0301", "\u0345\u0334", "e\u0301", "\u1100\u1161", "\u00e9\u0323 plain "}) {
    const double small = seconds_of(repeat(part, 50000));
    const double large = seconds_of(repeat(part, 500000));
    CHECK(large < 50 * small + 0.2);
  }
}
