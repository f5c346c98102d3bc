// GPT-2's alphabet: each byte as one visible character, so that tokens can be written as text.
#pragma once

#include <string>
#include <string_view>

namespace plumbline::reference {

std::string byte_symbol(unsigned char byte);  // 0x20 -> "Ġ"
std::string to_byte_symbols(std::string_view bytes);
// Inverse; a text that holds any other character (an added token may) stands for its own bytes.
std::string from_byte_symbols(std::string_view symbols);

}  // namespace plumbline::reference
