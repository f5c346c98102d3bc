#include "phases/support/cache_report.h"

#include <algorithm>
#include <iterator>
#include <map>

#include <fmt/format.h>

#include "harness/checks.h"
#include "phases/support/suite.h"

namespace plumbline::phases {
namespace {

constexpr std::size_t kNamed = 4;  // refused caches that a row tells

// What another engine measured under the same name.
std::vector<std::string> cells_of(const Invariances& other, const std::string& name) {
  const auto found = std::ranges::find(other.rows(), name, &Invariance::name);
  if (found == other.rows().end()) return {"-", "-"};
  return {fmt::format("{} of {}", found->different, found->logits), fmt::format("{:.2g}", found->largest)};
}

}  // namespace

void record_refusals(const Refusals& refusals) {
  std::map<std::string, std::vector<std::string>> names;
  for (const auto& [name, reason] : refusals.reasons()) names[reason].push_back(name);
  for (auto& [reason, those] : names) {
    Check check;
    check.what = "caches that the engine refuses";
    check.verdict = Verdict::skipped;
    check.count = static_cast<int>(those.size());
    check.note = reason;
    const std::size_t more = those.size() - std::min(kNamed, those.size());
    those.resize(those.size() - more);
    check.subject = fmt::format("{}", fmt::join(those, "; "));
    if (more > 0) check.subject += fmt::format("; {} more", more);
    record(std::move(check));
  }
}

void record_invariances(const Invariances& native, const Invariances& reference, const Invariances& fast,
                        const std::string& subject) {
  Evidence table{"invariances: logits of other bits, " + subject,
                 {"must change nothing", "runs", "logits", "native: different",
                  "reference, in blocks of rows", "largest", "LibTorch written for speed", "largest"},
                 {}};
  for (const Invariance& each : native.rows()) {
    // Without a logit there is no proof.
    Check check = check_at_most(each.name, subject, "logits of other bits",
                                each.logits > 0 ? static_cast<double>(each.different) : 1, 0);
    check.count = static_cast<int>(each.runs);
    check.note = each.different > 0 ? each.first : fmt::format("of {}", each.logits);
    record(std::move(check));
    std::vector<std::string> row{each.name, std::to_string(each.runs), std::to_string(each.logits),
                                 std::to_string(each.different)};
    for (const Invariances* other : {&reference, &fast})
      std::ranges::move(cells_of(*other, each.name), std::back_inserter(row));
    table.rows.push_back(std::move(row));
  }
  add_evidence(std::move(table));
}

}  // namespace plumbline::phases
