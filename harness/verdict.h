// Verdicts, and how many of them make one. A pass must be proven: everything starts `untested`.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace plumbline {

enum class Verdict : std::uint8_t { untested, passed, skipped, mistrusted, failed, error };
std::string_view verdict_name(Verdict verdict);
Verdict verdict_from_name(std::string_view name);  // throws Error

struct VerdictCounts {
  int untested = 0, passed = 0, skipped = 0, mistrusted = 0, failed = 0, error = 0;
  void add(Verdict verdict, int times = 1);
  void add(const VerdictCounts& other);
  int total() const { return untested + passed + skipped + mistrusted + failed + error; }
  // error, failed, untested, mistrusted, passed, skipped: the first with a count; untested when there is
  // none.
  Verdict overall() const;
  std::string to_string() const;  // "12 passed, 1 failed, 2 skipped"
};

// Exit status of a run: 1 for any failed, mistrusted, error or untested; 3 when nothing was judged (nothing
// but skipped, or nothing at all); else 0. Bad usage and unreadable input are 2, said elsewhere.
inline constexpr int kExitPassed = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitBadInput = 2;
inline constexpr int kExitNothingJudged = 3;
int exit_status(const VerdictCounts& counts);

}  // namespace plumbline
