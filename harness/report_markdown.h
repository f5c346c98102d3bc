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

// A Markdown table; empty when there is nothing to show.
std::string environment_table(const Environment& environment);

std::string seconds_text(double seconds);    // "0.25 s"
std::string bytes_text(std::int64_t bytes);  // "1.50 GiB"; where nobody measured, kNoFigure

}  // namespace plumbline
