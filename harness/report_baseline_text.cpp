// The changes as a section of SUMMARY.md, and as plain text.
#include <algorithm>

#include <fmt/format.h>

#include "harness/report_baseline.h"
#include "harness/report_text.h"

namespace plumbline {
namespace {

using Row = std::vector<std::string>;

constexpr std::size_t kRowsOnTerminal = 12;
constexpr std::size_t kWidestCell = 60;  // bytes on the terminal

std::string what_was_compared(const BaselineChanges& changes) {
  if (changes.phases.empty()) return "the two have no phase in common";
  const std::string found = changes.tables.empty() ? "no change" : "what changed";
  return fmt::format("{} in phase{} {}", found, changes.phases.size() == 1 ? "" : "s",
                     fmt::join(changes.phases, ", "));
}

// Cut between characters: a byte 10xxxxxx continues one.
std::string cut(const std::string& cell) {
  std::string text = one_line(cell);
  if (text.size() <= kWidestCell) return text;
  std::size_t end = kWidestCell;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0u) == 0x80u) --end;
  return text.substr(0, end) + "...";
}

std::string plain_table(const Evidence& table) {
  std::vector<Row> rows{table.header};
  for (std::size_t i = 0; i < std::min(kRowsOnTerminal, table.rows.size()); ++i) {
    rows.push_back(table.rows[i]);
  }
  std::vector<std::size_t> widths(table.header.size(), 0);
  for (Row& row : rows) {
    row.resize(table.header.size());
    for (std::size_t i = 0; i < row.size(); ++i) {
      row[i] = cut(row[i]);
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::string text = table.title + "\n";
  for (const Row& row : rows) {
    std::string line = " ";
    for (std::size_t i = 0; i < row.size(); ++i) line += fmt::format(" {:<{}} ", row[i], widths[i]);
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  if (table.rows.size() > kRowsOnTerminal) {
    text += fmt::format("  and {} more in SUMMARY.md\n", table.rows.size() - kRowsOnTerminal);
  }
  return text;
}

}  // namespace

std::string baseline_page(const BaselineChanges& changes) {
  std::string text = fmt::format("## Against an earlier report\n\nAgainst `{}`: {}.\n\n",
                                 one_line(changes.from), what_was_compared(changes));
  for (const Evidence& table : changes.tables) {
    text += fmt::format("**{}**\n\n{}\n", table.title, markdown_table(table.header, table.rows));
  }
  return text;
}

std::string baseline_terminal(const BaselineChanges& changes) {
  std::string text = fmt::format("against {}: {}\n", one_line(changes.from), what_was_compared(changes));
  for (const Evidence& table : changes.tables) text += fmt::format("\n{}", plain_table(table));
  return text;
}

}  // namespace plumbline
