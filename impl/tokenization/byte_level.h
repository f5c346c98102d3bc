// GPT-2's byte-level alphabet: each of the 256 bytes is written as one printable character, so that any bytes
// make a readable token (openai/gpt-2, src/encoder.py, bytes_to_unicode). Printable Latin-1 stands for
// itself; the rest, in order, is U+0100, U+0101, …
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace plumbline::native {

char32_t byte_level_character(std::uint8_t byte);

// The bytes that a token's text stands for; the text's own UTF-8 bytes when it holds a character outside the
// alphabet (added tokens may). `token` must be valid UTF-8.
std::string byte_level_decode(std::string_view token);

}  // namespace plumbline::native
