#include "harness/error.h"

#include <fmt/format.h>

namespace plumbline {
namespace {

// A file's bytes may reach a message; one line must stay one line.
std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

std::string one_line(std::string_view what, std::string_view where, std::string_view hint) {
  std::string line = where.empty() ? printable(what) : printable(where) + ": " + printable(what);
  if (!hint.empty()) line += " (" + printable(hint) + ")";
  return line;
}

}  // namespace

Error::Error(std::string_view what, std::string_view where, std::string_view hint)
    : std::runtime_error(one_line(what, where, hint)) {}

InternalError::InternalError(std::string_view what) : std::logic_error("internal: " + std::string(what)) {}

}  // namespace plumbline
