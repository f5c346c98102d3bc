#include "harness/report_text.h"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>

namespace plumbline {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// Length of the well-formed UTF-8 sequence at the front of `text`, 0 when there is none (The Unicode
// Standard, table 3-7: no overlong forms, no surrogates, nothing beyond U+10FFFF).
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xC0u) == 0x80u; };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return tail(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const bool second = (lead != 0xE0 || byte(1) >= 0xA0) && (lead != 0xED || byte(1) <= 0x9F);
    return tail(1) && second && tail(2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const bool second = (lead != 0xF0 || byte(1) >= 0x90) && (lead != 0xF4 || byte(1) <= 0x8F);
    return tail(1) && second && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

bool is_control(std::string_view character) {
  const auto byte = static_cast<unsigned char>(character[0]);
  return character.size() == 1 && (byte < 0x20 || byte == 0x7F);
}

// Calls use(character) for each character of `text`, with U+FFFD for each byte that is not UTF-8.
template <typename Use>
void for_each_character(std::string_view text, Use use) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_length(text.substr(at));
    use(length == 0 ? kReplacement : text.substr(at, length));
    at += length == 0 ? 1 : length;
  }
}

std::string visible_control(char c) {
  switch (c) {
    case '\n':
      return "\\n";
    case '\t':
      return "\\t";
    case '\r':
      return "\\r";
    default:
      return fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  }
}

std::string table_row(const std::vector<std::string>& cells, std::size_t columns) {
  std::string line = "|";
  for (std::size_t i = 0; i < columns; ++i) {
    line += ' ' + (i < cells.size() ? markdown_cell(cells[i]) : std::string()) + " |";
  }
  return line + '\n';
}

}  // namespace

std::string figure(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  if (value == std::trunc(value) && std::abs(value) < 1e6) {
    return fmt::format("{}", static_cast<std::int64_t>(value));
  }
  return fmt::format("{:.2e}", value);
}

std::string one_line(std::string_view text) {
  std::string out;
  for_each_character(text, [&](std::string_view c) {
    if (is_control(c)) {
      out += visible_control(c[0]);
    } else {
      out += c;
    }
  });
  return out;
}

std::string markdown_cell(std::string_view text) {
  std::string out;
  for (const char c : one_line(text)) {
    if (c == '|' || c == '*' || c == '`' || c == '[' || c == ']' || c == '\\') out += '\\';
    if (c == '<') {
      out += "&lt;";
    } else if (c == '&') {
      out += "&amp;";
    } else {
      out += c;
    }
  }
  return out;
}

std::string markdown_sentence(std::string_view text) {
  std::string out;
  for (const char c : one_line(text)) {
    if (c == '<') {
      out += "&lt;";
    } else {
      out += c;
    }
  }
  return out;
}

std::string markdown_table(const std::vector<std::string>& header,
                           const std::vector<std::vector<std::string>>& rows) {
  std::string out = table_row(header, header.size());
  out += '|';
  for (std::size_t i = 0; i < header.size(); ++i) out += " --- |";
  out += '\n';
  for (const auto& row : rows) out += table_row(row, header.size());
  return out;
}

std::string xml_text(std::string_view text) {
  std::string out;
  for_each_character(text, [&](std::string_view c) {
    if (c == "&") {
      out += "&amp;";
    } else if (c == "<") {
      out += "&lt;";
    } else if (c == ">") {
      out += "&gt;";
    } else if (c == "\"") {
      out += "&quot;";
    } else if (c == "\n") {
      out += "&#10;";  // kept in attribute values too
    } else if (is_control(c)) {
      out += visible_control(c[0]);
    } else if (c == "\xEF\xBF\xBE" || c == "\xEF\xBF\xBF") {
      out += kReplacement;  // U+FFFE and U+FFFF are no XML characters
    } else {
      out += c;
    }
  });
  return out;
}

}  // namespace plumbline
