#include "impl/tokenization/byte_level.h"

#include <array>
#include <unordered_map>

#include "impl/unicode.h"

namespace plumbline::native {
namespace {

bool stands_for_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

struct Alphabet {
  std::array<char32_t, 256> characters{};
  std::unordered_map<char32_t, char> bytes;
  Alphabet() {
    char32_t next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
      const char32_t c = stands_for_itself(byte) ? byte : next++;
      characters[byte] = c;
      bytes[c] = static_cast<char>(static_cast<unsigned char>(byte));
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet made;
  return made;
}

}  // namespace

char32_t byte_level_character(std::uint8_t byte) {
  return alphabet().characters[byte];
}

std::string byte_level_decode(std::string_view token) {
  std::string out;
  for (std::size_t offset = 0; offset < token.size();) {
    const auto found = alphabet().bytes.find(next_code_point(token, offset));
    if (found == alphabet().bytes.end()) return std::string(token);
    out += found->second;
  }
  return out;
}

}  // namespace plumbline::native
