#include "reference/internal/byte_level.h"

#include <array>
#include <map>

#include "reference/internal/utf8.h"

namespace plumbline::reference {
namespace {

// Visible Latin-1 characters stand for themselves; the others, in order, for U+0100 and on.
std::array<char32_t, 256> make_alphabet() {
  std::array<char32_t, 256> alphabet{};
  char32_t next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool visible = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    alphabet[byte] = visible ? static_cast<char32_t>(byte) : next++;
  }
  return alphabet;
}

const std::array<char32_t, 256>& alphabet() {
  static const auto made = make_alphabet();
  return made;
}

const std::map<char32_t, char>& inverse() {
  static const auto made = [] {
    std::map<char32_t, char> bytes;
    for (unsigned byte = 0; byte < 256; ++byte) bytes[alphabet()[byte]] = static_cast<char>(byte);
    return bytes;
  }();
  return made;
}

}  // namespace

std::string byte_symbol(unsigned char byte) {
  return utf8_of(alphabet()[byte]);
}

std::string to_byte_symbols(std::string_view bytes) {
  std::string symbols;
  for (const char c : bytes) symbols += byte_symbol(static_cast<unsigned char>(c));
  return symbols;
}

std::string from_byte_symbols(std::string_view symbols) {
  std::string bytes;
  for (std::size_t at = 0; at < symbols.size();) {
    const Utf8Step step = utf8_step(symbols, at);
    const auto found = inverse().find(step.code_point);
    if (!step.valid || found == inverse().end()) return std::string(symbols);
    bytes += found->second;
    at += step.length;
  }
  return bytes;
}

}  // namespace plumbline::reference
