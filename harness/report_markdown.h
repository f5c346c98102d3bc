// What the phase pages and the summary share.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "harness/report.h"

namespace plumbline {

inline constexpr std::string_view kNoFigure = "–";  // where nothing was measured

// The largest share of a gate that any check used, as a figure.
std::string worst_share(const std::vector<CaseReport>& cases);

// The SVG of one of a case's pictures, relative to the reports: "slim/phase3_forward_3_4_error_by_layer.svg".
std::string picture_file_name(const PhaseReport& phase, const CaseReport& entry, std::size_t evidence);

// Draws all pictures of the run; those that cannot be drawn are missing, and `problem` says why.
Drawings draw_pictures(const RunReport& run);

// A Markdown table; empty when there is nothing to show.
std::string environment_table(const Environment& environment);

std::string seconds_text(double seconds);    // "0.25 s"
std::string bytes_text(std::int64_t bytes);  // "1.50 GiB"; where nobody measured, kNoFigure

}  // namespace plumbline
