#include "reference/internal/utf8.h"

#include "harness/error.h"

namespace plumbline::reference {
namespace {

// What may follow a first byte: how many bytes, and the range of the first of them (the others are 80..BF).
struct Sequence {
  std::size_t following = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
};

bool sequence_of(unsigned char first, Sequence& sequence) {
  if (first < 0x80) {
    sequence = {0};
  } else if (first >= 0xC2 && first <= 0xDF) {
    sequence = {1};
  } else if (first >= 0xE0 && first <= 0xEF) {
    sequence = {2};
    if (first == 0xE0) sequence.low = 0xA0;   // overlong below
    if (first == 0xED) sequence.high = 0x9F;  // surrogates above
  } else if (first >= 0xF0 && first <= 0xF4) {
    sequence = {3};
    if (first == 0xF0) sequence.low = 0x90;   // overlong below
    if (first == 0xF4) sequence.high = 0x8F;  // beyond U+10FFFF above
  } else {
    return false;
  }
  return true;
}

}  // namespace

Utf8Step utf8_step(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  Sequence sequence;
  if (!sequence_of(byte(at), sequence)) return {false, 1, 0};
  const unsigned first_bits[] = {0x7F, 0x1F, 0x0F, 0x07};
  char32_t code_point = byte(at) & first_bits[sequence.following];
  for (std::size_t i = 1; i <= sequence.following; ++i) {
    const unsigned char low = i == 1 ? sequence.low : 0x80;
    const unsigned char high = i == 1 ? sequence.high : 0xBF;
    const bool continues = at + i < text.size() && byte(at + i) >= low && byte(at + i) <= high;
    if (!continues) return {false, i, 0};
    code_point = code_point << 6 | (byte(at + i) & 0x3Fu);
  }
  return {true, sequence.following + 1, code_point};
}

std::string utf8_of(char32_t c) {
  const auto tail = [c](int shift) { return static_cast<char>(0x80 | (c >> shift & 0x3F)); };
  if (c < 0x80) return {static_cast<char>(c)};
  if (c < 0x800) return {static_cast<char>(0xC0 | c >> 6), tail(0)};
  if (c < 0x10000) return {static_cast<char>(0xE0 | c >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xF0 | c >> 18), tail(12), tail(6), tail(0)};
}

void require_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    if (!step.valid) throw Error("invalid UTF-8 at byte offset " + std::to_string(at), "text");
    at += step.length;
  }
}

std::string utf8_lossy(std::string_view bytes) {
  std::string text;
  for (std::size_t at = 0; at < bytes.size();) {
    const Utf8Step step = utf8_step(bytes, at);
    text += step.valid ? std::string(bytes.substr(at, step.length)) : utf8_of(U'\uFFFD');
    at += step.length;
  }
  return text;
}

}  // namespace plumbline::reference
