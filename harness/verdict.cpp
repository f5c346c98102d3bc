#include "harness/verdict.h"

#include <array>
#include <vector>

#include <fmt/format.h>

#include "harness/error.h"

namespace plumbline {
namespace {

constexpr std::array<std::pair<Verdict, std::string_view>, 6> kNames{{
    {Verdict::untested, "untested"},
    {Verdict::passed, "passed"},
    {Verdict::skipped, "skipped"},
    {Verdict::mistrusted, "mistrusted"},
    {Verdict::failed, "failed"},
    {Verdict::error, "error"},
}};

}  // namespace

std::string_view verdict_name(Verdict verdict) {
  return kNames.at(static_cast<std::size_t>(verdict)).second;
}

Verdict verdict_from_name(std::string_view name) {
  for (const auto& [verdict, text] : kNames) {
    if (text == name) return verdict;
  }
  throw Error("unknown verdict '" + std::string(name) + "'", "");
}

void VerdictCounts::add(Verdict verdict, int times) {
  switch (verdict) {
    case Verdict::untested:
      untested += times;
      return;
    case Verdict::passed:
      passed += times;
      return;
    case Verdict::skipped:
      skipped += times;
      return;
    case Verdict::mistrusted:
      mistrusted += times;
      return;
    case Verdict::failed:
      failed += times;
      return;
    case Verdict::error:
      error += times;
      return;
  }
  throw InternalError("VerdictCounts::add: out of range");
}

void VerdictCounts::add(const VerdictCounts& other) {
  untested += other.untested;
  passed += other.passed;
  skipped += other.skipped;
  mistrusted += other.mistrusted;
  failed += other.failed;
  error += other.error;
}

Verdict VerdictCounts::overall() const {
  if (error > 0) return Verdict::error;
  if (failed > 0) return Verdict::failed;
  if (untested > 0) return Verdict::untested;
  if (mistrusted > 0) return Verdict::mistrusted;
  if (passed > 0) return Verdict::passed;
  return skipped > 0 ? Verdict::skipped : Verdict::untested;
}

std::string VerdictCounts::to_string() const {
  std::vector<std::string> parts{fmt::format("{} passed", passed)};
  const auto also = [&](int count, Verdict verdict) {
    if (count > 0) parts.push_back(fmt::format("{} {}", count, verdict_name(verdict)));
  };
  also(failed, Verdict::failed);
  also(error, Verdict::error);
  also(mistrusted, Verdict::mistrusted);
  also(untested, Verdict::untested);
  also(skipped, Verdict::skipped);
  return fmt::format("{}", fmt::join(parts, ", "));
}

int exit_status(const VerdictCounts& counts) {
  if (counts.failed + counts.mistrusted + counts.error + counts.untested > 0) return kExitFailed;
  return counts.passed > 0 ? kExitPassed : kExitNothingJudged;
}

}  // namespace plumbline
