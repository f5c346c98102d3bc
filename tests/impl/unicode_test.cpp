#include "impl/unicode.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace plumbline::native;

namespace {

constexpr char32_t kCodePoints = 0x110000;

std::string utf8(char32_t c) {
  std::string text;
  append_utf8(text, c);
  return text;
}

bool is_scalar(char32_t c) {
  return c < 0xD800 || c >= 0xE000;
}

}  // namespace

TEST_CASE("unicode: classes of letters, numbers and white space") {
  CHECK(char_class(U'a') == CharClass::letter);
  CHECK(char_class(U'\u4e2d') == CharClass::letter);
  CHECK(char_class(U'\u02b0') == CharClass::letter);  // Lm
  CHECK(char_class(U'\u2167') == CharClass::number);  // Nl
  CHECK(char_class(U'\u00b2') == CharClass::number);  // No
  CHECK(char_class(U'\u0085') == CharClass::space);
  CHECK(char_class(U'\u3000') == CharClass::space);
  CHECK(char_class(U'\u001c') == CharClass::other);  // str.isspace() of Python differs
  CHECK(char_class(U'\u180e') == CharClass::other);  // PCRE2's \s differs
  CHECK(char_class(U'\u200b') == CharClass::other);
  CHECK(char_class(U'\u0301') == CharClass::other);  // Mn
  CHECK(char_class(U'\ue000') == CharClass::other);
  CHECK(char_class(U'\U0010ffff') == CharClass::other);
}

TEST_CASE("unicode: classes are those of Unicode 16") {
  CHECK(unicode_version() == "16.0.0");
  CHECK(char_class(U'\U0001df25') == CharClass::letter);  // 15.0
  CHECK(char_class(U'\U00031350') == CharClass::letter);  // 15.0, CJK extension H
  CHECK(char_class(U'\U0002ebf0') == CharClass::letter);  // 15.1, CJK extension I
  CHECK(char_class(U'\u1c89') == CharClass::letter);      // 16.0
  CHECK(char_class(U'\U000105c0') == CharClass::letter);  // 16.0, Todhri
  CHECK(char_class(U'\U00010d40') == CharClass::number);  // 16.0, Garay
  CHECK(is_word(U'\u0897'));                              // 16.0, a mark
  CHECK(char_class(U'\ua7ce') == CharClass::other);       // 17.0
  CHECK(char_class(U'\U00016ea0') == CharClass::other);   // 17.0, Beria Erfe
  CHECK(char_class(U'\U000323b0') == CharClass::other);   // 17.0, CJK extension J
  CHECK_FALSE(is_word(U'\U00016ea0'));
}

// The counts that tokenizers 0.23.3 gives (tools/measure_tokenizers_unicode.py).
TEST_CASE("unicode: counts of every class") {
  std::vector<std::size_t> counts(4);
  std::size_t words = 0;
  for (char32_t c = 0; c < kCodePoints; ++c) {
    ++counts[static_cast<std::size_t>(char_class(c))];
    words += is_word(c) ? 1 : 0;
  }
  CHECK(counts == std::vector<std::size_t>{kCodePoints - 141028 - 1911 - 25, 141028, 1911, 25});
  CHECK(words == 144667);
}

TEST_CASE("unicode: word characters") {
  for (const char32_t c :
       {U'_', U'7', U'\u0301', U'\u0903', U'\u203f', U'\u200c', U'\u200d', U'\u2167', U'\u24b6'}) {
    CHECK(is_word(c));
  }
  for (const char32_t c :
       {U' ', U'-', U'\'', U'\u00b2', U'\u00bd', U'\u2460', U'\u00a0', U'\u200b', U'\U0001f600'}) {
    CHECK_FALSE(is_word(c));
  }
}

TEST_CASE("unicode: every scalar value goes to UTF-8 and back") {
  bool equal = true;
  for (char32_t c = 0; c < kCodePoints; ++c) {
    if (!is_scalar(c)) continue;
    const std::string text = utf8(c);
    std::size_t offset = 0;
    equal = equal && next_code_point(text, offset) == c && offset == text.size() &&
            find_invalid_utf8(text) == std::string_view::npos;
  }
  CHECK(equal);
}

TEST_CASE("unicode: finds the first byte that is not UTF-8") {
  CHECK(find_invalid_utf8("") == std::string_view::npos);
  CHECK(find_invalid_utf8("h\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80") == std::string_view::npos);
  CHECK(find_invalid_utf8("\xC0\x80") == 0);          // overlong
  CHECK(find_invalid_utf8("\xC1\xBF") == 0);          // overlong
  CHECK(find_invalid_utf8("a\xE0\x80\x80") == 1);     // overlong
  CHECK(find_invalid_utf8("\xE0\x9F\xBF") == 0);      // overlong
  CHECK(find_invalid_utf8("\xF0\x8F\xBF\xBF") == 0);  // overlong
  CHECK(find_invalid_utf8("\xED\xA0\x80") == 0);      // surrogate
  CHECK(find_invalid_utf8("\xED\xBF\xBF") == 0);      // surrogate
  CHECK(find_invalid_utf8("\xF4\x90\x80\x80") == 0);  // beyond U+10FFFF
  CHECK(find_invalid_utf8("\xF5\x80\x80\x80") == 0);
  CHECK(find_invalid_utf8("ab\xF0\x9F\x98") == 2);  // cut short
  CHECK(find_invalid_utf8("\x80") == 0);
  CHECK(find_invalid_utf8("\xC3") == 0);
}

// Against Table 3-7 of the Unicode Standard, at the end of a text and within one, where four bytes can be
// read.
TEST_CASE("unicode: every sequence of two and three bytes is judged as the standard's table does") {
  constexpr std::size_t npos = std::string_view::npos;
  const auto continues = [](int byte) { return byte >= 0x80 && byte <= 0xBF; };
  bool equal = true;
  for (int a = 0x80; a < 0x100; ++a) {
    for (int b = 0; b < 0x100; ++b) {
      const std::string two = {static_cast<char>(a), static_cast<char>(b)};
      const bool valid = a >= 0xC2 && a <= 0xDF && continues(b);
      equal = equal && find_invalid_utf8(two) == (valid ? npos : 0);
      equal = equal && find_invalid_utf8(two + "abc") == (valid ? npos : 0);
      const bool second = continues(b) && (a == 0xE0   ? b >= 0xA0
                                           : a == 0xED ? b <= 0x9F
                                                       : a >= 0xE1 && a <= 0xEF);
      for (const int c : {0x00, 0x7F, 0x80, 0xBF, 0xC0, 0xFF}) {
        const std::string three = two + static_cast<char>(c);
        const std::size_t at = second && continues(c) ? npos : !valid ? 0 : c < 0x80 ? npos : 2;
        equal = equal && find_invalid_utf8(three) == at && find_invalid_utf8(three + "abc") == at;
      }
    }
  }
  CHECK(equal);
}

TEST_CASE("unicode: a text that ends within a character, with the rest of it behind") {
  for (const std::string_view whole : {"\u00e9", "\u4e2d", "\U0001f600"}) {
    for (std::size_t length = 1; length < whole.size(); ++length) {
      CHECK(find_invalid_utf8(whole.substr(0, length)) == 0);
      CHECK(replace_invalid_utf8(whole.substr(0, length)) == "\uFFFD");
      CHECK(replace_invalid_utf8(std::string(whole.substr(0, length)) + "zzzz") == "\uFFFDzzzz");
    }
  }
}

// Eight bytes at a time: the fault stands at every offset of a word, with the text's end behind it or not.
TEST_CASE("unicode: a fault or a mark is found wherever it stands") {
  for (std::size_t before = 0; before < 40; ++before) {
    for (const std::size_t after : {0, 1, 7, 8, 9, 30}) {
      const std::string head(before, 'x');
      const std::string tail(after, 'y');
      CHECK(find_invalid_utf8(head + "\xFF" + tail) == before);
      CHECK(find_invalid_utf8(head + "\u4e2d\xE4\xB8" + tail) == before + 3);
      CHECK(find_invalid_utf8(head + "\u4e2d" + tail) == std::string_view::npos);
      const TextScan scan = scan_text(head + "\u0301" + tail + "\xC3");
      CHECK(scan.may_change_under_nfc);
      CHECK(scan.invalid_at == before + 2 + after);
      CHECK(scan_text(head + "\xC3" + tail + "\u0301").invalid_at == before);
    }
  }
  CHECK(scan_text("").invalid_at == std::string_view::npos);
  CHECK_FALSE(scan_text("plain").may_change_under_nfc);
}

TEST_CASE("unicode: each maximal ill-formed part becomes one replacement character") {
  const std::string r = "\uFFFD";
  CHECK(replace_invalid_utf8("a\xF0\x9F\x98z") == "a" + r + "z");
  CHECK(replace_invalid_utf8("\xE0\x80\xAF") == r + r + r);
  CHECK(replace_invalid_utf8("\xED\xA0\x80") == r + r + r);
  CHECK(replace_invalid_utf8("\xF0\x9F\xE2\x82\xAC") == r + "\u20ac");
  CHECK(replace_invalid_utf8("\xF0\x80\x80\x80") == r + r + r + r);
  CHECK(replace_invalid_utf8("\xF4\x8F\xBF") == r);
  CHECK(replace_invalid_utf8("\x80\x80") == r + r);
  CHECK(replace_invalid_utf8("\u00e9\xC3") == "\u00e9" + r);
  CHECK(replace_invalid_utf8("ok").append(replace_invalid_utf8("")) == "ok");
}
