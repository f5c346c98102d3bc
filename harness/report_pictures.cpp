// The pictures of a run's evidence: their names, and their drawing.
#include <algorithm>
#include <cctype>

#include <fmt/format.h>

#include "harness/report_markdown.h"

namespace plumbline {

std::string picture_file_name(const PhaseReport& phase, const CaseReport& entry, std::size_t evidence) {
  std::string id = entry.id;
  std::ranges::replace_if(
      id, [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  const std::string& name = entry.evidence[evidence].picture->name;
  const auto same =
      std::count_if(entry.evidence.begin(), entry.evidence.begin() + static_cast<std::ptrdiff_t>(evidence),
                    [&](const Evidence& before) { return before.picture && before.picture->name == name; });
  const std::string number = same == 0 ? "" : fmt::format("_{}", same + 1);
  const std::string page = phase_page_name(phase);
  return fmt::format("{}_{}_{}{}.svg", page.substr(0, page.size() - 3), id, name, number);
}

Drawings draw_pictures(const RunReport& run) {
  Drawings drawings;
  for (const PhaseReport& phase : run.phases) {
    for (const CaseReport& entry : phase.cases) {
      for (std::size_t i = 0; i < entry.evidence.size(); ++i) {
        if (!entry.evidence[i].picture) continue;
        std::string svg = draw(*entry.evidence[i].picture, drawings.problem);
        if (svg.empty()) return drawings;  // what stops one stops all
        drawings.files.emplace(picture_file_name(phase, entry, i), std::move(svg));
      }
    }
  }
  return drawings;
}

}  // namespace plumbline
