#include "phases/support/token_report.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "phases/support/suite.h"

namespace plumbline::phases {
namespace {

struct PairNames {
  const char* what;      // of a check
  const char* column;    // of the table
  const char* expected;  // the sides by name
  const char* actual;
};
PairNames names_of(SidePair pair) {
  switch (pair) {
    case SidePair::native_golden:
      return {"native beside the golden", "native, golden", "golden", "native"};
    case SidePair::native_reference:
      return {"native beside the reference", "native, reference", "reference", "native"};
    case SidePair::reference_golden:
      return {"reference beside the golden", "reference, golden", "golden", "reference"};
    case SidePair::stages:
      return {"stages beside the reference's", "stages", "reference", "native"};
    case SidePair::native_itself:
      return {"native whole beside its parts", "native, whole and parts", "in parts", "native as a whole"};
  }
  return {};
}

struct Told {
  SidePair pair;
  const CategoryResult* category;
  ExplainedMismatch mismatch;
};

Check check_of(const std::string& category, SidePair pair, std::int64_t texts) {
  Check check;
  check.what = names_of(pair).what;
  check.subject = category;
  check.metric = "mismatches";
  check.count = static_cast<int>(texts);
  check.verdict = Verdict::passed;
  return check;
}

// Those that agree and those that do not: each row's verdict holds for all that it stands for.
void record_pair(const std::string& category, SidePair pair, const PairResult& result,
                 const std::string& note) {
  if (result.compared > result.mismatches) {
    record(check_of(category, pair, result.compared - result.mismatches));
  }
  if (result.mismatches == 0) return;
  Check check = check_of(category, pair, result.mismatches);
  check.measured = check.smallest_gate = static_cast<double>(result.mismatches);
  check.share = std::numeric_limits<double>::infinity();
  check.verdict = Verdict::failed;
  check.note = note;
  record(std::move(check));
}

void record_excluded(const CategoryResult& result) {
  for (const auto& [reason, count] : result.excluded) {
    Check check;
    check.what = "reference's ids";
    check.subject = result.category;
    check.count = static_cast<int>(count);
    check.verdict = Verdict::skipped;
    check.note = reason;
    record(std::move(check));
  }
}

// The first mismatch of a category is that of the first pair that has any.
std::vector<Told> explain_all(const std::vector<CategoryResult>& results) {
  std::vector<Told> told;
  for (const CategoryResult& result : results) {
    for (const SidePair pair : kSidePairs) {
      const auto at = result.pairs.find(pair);
      if (at == result.pairs.end() || !at->second.first) continue;
      told.push_back({pair, &result, explain(pair, *at->second.first)});
    }
  }
  return told;
}

const Told* first_of(const std::vector<Told>& told, const CategoryResult& category) {
  for (const Told& one : told) {
    if (one.category == &category) return &one;
  }
  return nullptr;
}

std::string note_of(const ExplainedMismatch& mismatch) {
  return fmt::format("{}: parts at {}: {}", mismatch.asked, mismatch.stage, mismatch.apart);
}

std::string cell_of(const CategoryResult& result, SidePair pair) {
  const auto at = result.pairs.find(pair);
  if (at == result.pairs.end()) return "–";
  return fmt::format("{} of {}", at->second.mismatches, at->second.compared);
}

Evidence table_of(const std::string& title, const std::vector<CategoryResult>& results,
                  const std::vector<Told>& told) {
  Evidence table{title, {"category", "cases"}, {}};
  std::vector<SidePair> columns;  // that anything was compared in
  for (const SidePair pair : kSidePairs) {
    if (std::ranges::any_of(results,
                            [pair](const CategoryResult& result) { return result.pairs.contains(pair); }))
      columns.push_back(pair);
  }
  for (const SidePair pair : columns)
    table.header.push_back(fmt::format("mismatches: {}", names_of(pair).column));
  table.header.insert(table.header.end(), {"not asked of the reference", "first mismatch"});
  for (const CategoryResult& result : results) {
    std::int64_t excluded = 0;
    for (const auto& [reason, count] : result.excluded) excluded += count;
    std::vector<std::string> row{result.category, std::to_string(result.texts)};
    for (const SidePair pair : columns) row.push_back(cell_of(result, pair));
    const Told* first = first_of(told, result);
    row.push_back(std::to_string(excluded));
    row.push_back(first == nullptr ? "" : note_of(first->mismatch));
    table.rows.push_back(std::move(row));
  }
  return table;
}

void add_closer_look(const Told& told) {
  const PairNames names = names_of(told.pair);
  std::vector<std::vector<std::string>> rows{{"asked", told.mismatch.asked, ""}};
  rows.insert(rows.end(), told.mismatch.rows.begin(), told.mismatch.rows.end());
  add_evidence(
      {fmt::format("First mismatch of {}: parts at {}", told.category->category, told.mismatch.stage),
       {"", names.expected, names.actual},
       std::move(rows)});
}

std::string headline_of(const Told& told) {
  const PairNames names = names_of(told.pair);
  const PairResult& result = told.category->pairs.at(told.pair);
  return fmt::format("{}: {} of {} differ between {} and {}; the first, {}, parts at *{}*: {}",
                     told.category->category, result.mismatches, result.compared, names.actual,
                     names.expected, told.mismatch.asked, told.mismatch.stage, told.mismatch.apart);
}

}  // namespace

void record_categories(const std::string& title, const std::vector<CategoryResult>& results) {
  const std::vector<Told> told = explain_all(results);
  // A later case may know the stage; where none does, the page opens with its first failed check.
  const auto known =
      std::ranges::find_if(told, [](const Told& one) { return one.mismatch.stage != "unknown stage"; });
  if (known != told.end()) set_headline(headline_of(*known));
  for (const CategoryResult& result : results) {
    for (const auto& [pair, counts] : result.pairs) {
      std::string note;
      for (const Told& one : told) {
        if (one.category == &result && one.pair == pair) note = note_of(one.mismatch);
      }
      record_pair(result.category, pair, counts, note);
    }
    record_excluded(result);
  }
  add_evidence(table_of(title, results, told));
  constexpr std::size_t kCloserLooks = 3;
  std::size_t looks = 0;
  for (const CategoryResult& result : results) {
    const Told* first = first_of(told, result);
    if (first != nullptr && looks++ < kCloserLooks) add_closer_look(*first);
  }
}

}  // namespace plumbline::phases
