// Text for reports: figures in one notation, and strings from anywhere made safe for Markdown and XML.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace plumbline {

// 0 as "0", whole numbers below a million as such, all others as "1.25e-06"; "nan", "inf", "-inf".
std::string figure(double value);

// Valid UTF-8 on one line: control characters as \n, \t or \x1b, bytes that are not UTF-8 as U+FFFD.
std::string one_line(std::string_view text);

// one_line, and nothing in it ends a table cell, opens an HTML tag or sets emphasis.
std::string markdown_cell(std::string_view text);

// one_line for a sentence of our own, which may hold emphasis.
std::string markdown_sentence(std::string_view text);

// A Markdown table. Cells are escaped here; short rows are filled with empty cells.
std::string markdown_table(const std::vector<std::string>& header,
                           const std::vector<std::vector<std::string>>& rows);

// For XML text and attribute values: valid UTF-8 that XML 1.0 allows, newlines kept.
std::string xml_text(std::string_view text);

}  // namespace plumbline
