// UTF-8 as Unicode's table 3-7 defines it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace plumbline::reference {

struct Utf8Step {
  bool valid = false;
  std::size_t length = 0;  // of the character, or of the broken part that one U+FFFD replaces; at least 1
  char32_t code_point = 0;
};

// What begins at text[at]. at < text.size().
Utf8Step utf8_step(std::string_view text, std::size_t at);

std::string utf8_of(char32_t code_point);

// Throws Error that names the byte offset of the first broken part.
void require_utf8(std::string_view text);

// Every maximal broken part becomes one U+FFFD, as Rust's String::from_utf8_lossy does it.
std::string utf8_lossy(std::string_view bytes);

}  // namespace plumbline::reference
