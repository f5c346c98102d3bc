#include "impl/unicode.h"

#include <array>
#include <span>
#include <utility>
#include <vector>

#include "impl/unicode_tables.h"

namespace plumbline::native {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// One sequence at the start of `bytes`: how many bytes belong together, and whether they are well-formed.
struct Utf8Sequence {
  std::size_t length = 1;
  bool valid = false;
};

// Table 3-7 of the Unicode Standard: the second byte's range depends on the first.
Utf8Sequence scan_utf8(std::string_view bytes) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char lead = at(0);
  if (lead < 0x80) return {1, true};
  if (lead < 0xC2 || lead > 0xF4) return {1, false};
  const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  for (std::size_t i = 1; i < length; ++i) {
    if (i >= bytes.size() || at(i) < low || at(i) > high) return {i, false};
    low = 0x80;
    high = 0xBF;
  }
  return {length, true};
}

}  // namespace

std::string_view unicode_version() {
  return kUnicodeVersion;
}

CharClass char_class(char32_t code_point) {
  static const std::array<CharClass, 128> ascii = [] {
    std::array<CharClass, 128> made{};
    for (char32_t c = 0; c < 128; ++c) {
      const ClassRange* range = find_range(kClassRanges, c);
      made[c] = range == nullptr ? CharClass::other : range->value;
    }
    return made;
  }();
  if (code_point < 128) return ascii[code_point];
  const ClassRange* range = find_range(kClassRanges, code_point);
  return range == nullptr ? CharClass::other : range->value;
}

std::size_t find_invalid_utf8(std::string_view text) {
  std::size_t offset = 0;
  while (offset < text.size()) {
    const Utf8Sequence sequence = scan_utf8(text.substr(offset));
    if (!sequence.valid) return offset;
    offset += sequence.length;
  }
  return std::string_view::npos;
}

char32_t next_code_point(std::string_view text, std::size_t& offset) {
  const auto lead = static_cast<unsigned char>(text[offset++]);
  if (lead < 0x80) return lead;
  const int more = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
  char32_t value = lead & (0x3Fu >> more);
  for (int i = 0; i < more; ++i) {
    value = (value << 6) | (static_cast<unsigned char>(text[offset++]) & 0x3Fu);
  }
  return value;
}

void append_utf8(std::string& text, char32_t code_point) {
  const auto put = [&](char32_t byte) { text += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | (code_point >> 6));
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | (code_point >> 12));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | (code_point >> 18));
    put(0x80 | ((code_point >> 12) & 0x3F));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

std::string replace_invalid_utf8(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    const Utf8Sequence sequence = scan_utf8(bytes);
    out += sequence.valid ? bytes.substr(0, sequence.length) : kReplacement;
    bytes.remove_prefix(sequence.length);
  }
  return out;
}

}  // namespace plumbline::native
