// What changed between an earlier report and a run: evidence for a person, never a verdict.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "harness/report.h"

namespace plumbline {

// Reads a report.json. Throws Error for a file that cannot be read or is no report.
RunReport read_report(const std::filesystem::path& path);

// `from` names the earlier report. Only cases that both hold are compared for shares and failures; cases of a
// phase that either left out are not called gone. Deterministic: two equal runs give no table.
BaselineChanges compare_to_baseline(const RunReport& before, const RunReport& now, std::string from);

std::string baseline_page(const BaselineChanges& changes);      // a section of SUMMARY.md
std::string baseline_terminal(const BaselineChanges& changes);  // plain text, a dozen rows of each table

}  // namespace plumbline
