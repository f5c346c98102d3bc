#include "impl/unicode.h"

#include <catch2/catch.hpp>

using namespace plumbline::native;

TEST_CASE("unicode: classes of letters, numbers and white space") {
  CHECK(char_class(U'a') == CharClass::letter);
  CHECK(char_class(U'\u4e2d') == CharClass::letter);
  CHECK(char_class(U'\u02b0') == CharClass::letter);  // Lm
  CHECK(char_class(U'\u2167') == CharClass::number);  // Nl
  CHECK(char_class(U'\u00b2') == CharClass::number);  // No
  CHECK(char_class(U'\u0085') == CharClass::space);
  CHECK(char_class(U'\u3000') == CharClass::space);
  CHECK(char_class(U'\u001c') == CharClass::other);  // str.isspace() of Python differs
  CHECK(char_class(U'\u200b') == CharClass::other);
  CHECK(char_class(U'\u0301') == CharClass::other);  // Mn
  CHECK(char_class(U'\U0010ffff') == CharClass::other);
}

TEST_CASE("unicode: NFC composes, reorders and replaces singletons") {
  CHECK(nfc("e\u0301") == "\u00e9");
  CHECK(nfc("\u212b") == "\u00c5");                     // Angstrom sign
  CHECK(nfc("a\u0323\u0307") == nfc("a\u0307\u0323"));  // canonical order
  CHECK(nfc("q\u0307\u0323") == "q\u0323\u0307");
  CHECK(nfc("\u1112\u1161\u11ab") == "\ud55c");  // Hangul
  CHECK(nfc("\uac00\u11a8") == "\uac01");
  CHECK(nfc("\uac01\u11a8") == "\uac01\u11a8");  // has a final already
  CHECK(nfc("\u0958") == "\u0915\u093c");        // composition exclusion
  CHECK(nfc("a\u0302\u0301") == "\u1ea5");       // two steps
  CHECK(nfc("a\u0300\u0301") == "\u00e0\u0301");
  CHECK(nfc("\u0301") == "\u0301");
  CHECK(nfc("plain") == "plain");
}

TEST_CASE("unicode: finds the first byte that is not UTF-8") {
  CHECK(find_invalid_utf8("h\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80") == std::string_view::npos);
  CHECK(find_invalid_utf8("\xC0\x80") == 0);          // overlong
  CHECK(find_invalid_utf8("a\xE0\x80\x80") == 1);     // overlong
  CHECK(find_invalid_utf8("\xED\xBF\xBF") == 0);      // surrogate
  CHECK(find_invalid_utf8("\xF4\x90\x80\x80") == 0);  // beyond U+10FFFF
  CHECK(find_invalid_utf8("ab\xF0\x9F\x98") == 2);    // cut short
  CHECK(find_invalid_utf8("\x80") == 0);
}

TEST_CASE("unicode: each maximal ill-formed part becomes one replacement character") {
  const std::string r = "\uFFFD";
  CHECK(replace_invalid_utf8("a\xF0\x9F\x98z") == "a" + r + "z");
  CHECK(replace_invalid_utf8("\xE0\x80\xAF") == r + r + r);
  CHECK(replace_invalid_utf8("\xED\xA0\x80") == r + r + r);
  CHECK(replace_invalid_utf8("\xF0\x9F\xE2\x82\xAC") == r + "\u20ac");
  CHECK(replace_invalid_utf8("\x80\x80") == r + r);
  CHECK(replace_invalid_utf8("ok") == "ok");
}
