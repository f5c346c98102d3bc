// The phases and cases by number and name: the numbers show in test names, tags, options and reports.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace plumbline::phases {

struct CaseInfo {
  std::string_view id;     // "3.2", "4A.1"
  std::string_view title;  // "several tokens"
};

struct PhaseInfo {
  int number;
  std::string_view name;   // "forward"
  std::string_view title;  // "Phase 3: forward pass"
  std::span<const CaseInfo> cases;
};

// All five, in order.
std::span<const PhaseInfo> all_phases();

// Throws Error for a number that is no phase.
const PhaseInfo& phase_info(int number);

// Throws Error for an unknown id; the message lists the ids of its phase.
const CaseInfo& case_info(std::string_view id);

// The phase that a case belongs to. Throws Error for an unknown id.
const PhaseInfo& phase_of_case(std::string_view id);

// The case of a test: the first word of its name ("3.2 several tokens: counts on" is "3.2"). Throws
// InternalError when that is no case of ours, so that a mistyped test name cannot hide.
const CaseInfo& case_of_test(std::string_view test_name);

}  // namespace plumbline::phases
