// What changed since an earlier report: told truthfully, and without noise where nothing did.
#include <fstream>
#include <limits>

#include <catch2/catch.hpp>

#include "harness/error.h"
#include "harness/report_baseline.h"
#include "tests/support/temporary_directory.h"

using namespace plumbline;

namespace {

Check check(const std::string& what, double share, Verdict verdict = Verdict::passed) {
  Check made;
  made.what = what;
  made.op = "linear";
  made.metric = "error at worst share";
  made.measured = share * 1e-6;
  made.gate = 1e-6;
  made.share = share;
  made.verdict = verdict;
  return made;
}

CaseReport case_of(const std::string& id, std::vector<Check> checks) {
  CaseReport made;
  made.id = id;
  made.title = "a case";
  made.checks = std::move(checks);
  return made;
}

RunReport run_of(std::vector<CaseReport> cases, int phase = 3) {
  PhaseReport made;
  made.phase = phase;
  made.name = "forward";
  made.title = "Phase 3: forward pass";
  made.model = "fixtures/models/tiny";
  made.engine = "cpu, f32";
  made.cases = std::move(cases);
  made.finished = true;
  RunReport run;
  run.phases.push_back(std::move(made));
  return run;
}

const Evidence* table(const BaselineChanges& changes, const std::string& title) {
  for (const Evidence& shown : changes.tables) {
    if (shown.title == title) return &shown;
  }
  return nullptr;
}

using Rows = std::vector<std::vector<std::string>>;

const char* const kCases = "Other verdicts, or other numbers of checks";
const char* const kShares = "Largest share of a gate, by op";

}  // namespace

TEST_CASE("baseline: two equal runs have no change, and that is said in both places") {
  RunReport run = run_of({case_of("3.1", {check("q_proj", 0.25)})});
  run.changes = compare_to_baseline(run, run, "old.json");
  CHECK(run.changes->tables.empty());
  CHECK(summary_page(run).find("Against `old.json`: no change in phase 3.") != std::string::npos);
  CHECK(summary_table(run).find("against old.json: no change in phase 3\n") != std::string::npos);
  CHECK(summary_page(run_of({})).find("Against") == std::string::npos);
}

TEST_CASE("baseline: the largest share of an op, then and now; a worse one fails nothing") {
  const RunReport before = run_of({case_of("3.1", {check("q_proj", 0.25), check("k_proj", 0.125)})});
  RunReport now = run_of({case_of("3.1", {check("q_proj", 0.125), check("k_proj", 0.5)})});
  now.changes = compare_to_baseline(before, now, "old.json");
  REQUIRE(table(*now.changes, kShares) != nullptr);
  CHECK(table(*now.changes, kShares)->rows == Rows{{"linear", "2.50e-01", "5.00e-01", "2"}});
  CHECK(now.changes->tables.size() == 1);
  CHECK(exit_status(now.counts()) == kExitPassed);
}

TEST_CASE("baseline: checks that are no op's have a table of their own, under what they say") {
  RunReport before = run_of({case_of("3.1", {check("final logits", 0.25)})}), now = before;
  now.phases[0].cases[0].checks[0].share = 0.5;
  for (RunReport* run : {&before, &now}) run->phases[0].cases[0].checks[0].op.clear();
  const BaselineChanges changes = compare_to_baseline(before, now, "");
  REQUIRE(changes.tables.size() == 1);
  CHECK(changes.tables[0].title == "Largest share of a gate, by check");
  CHECK(changes.tables[0].rows == Rows{{"final logits", "2.50e-01", "5.00e-01", "2"}});
}

TEST_CASE("baseline: shares are compared on the cases that both runs hold, NaN as beyond every gate") {
  const RunReport before = run_of({case_of("3.1", {check("q_proj", 0.25)})});
  const RunReport more =
      run_of({case_of("3.1", {check("q_proj", 0.25)}), case_of("3.2", {check("q_proj", 0.5)})});
  CHECK(table(compare_to_baseline(before, more, ""), kShares) == nullptr);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const RunReport broken =
      run_of({case_of("3.1", {check("q_proj", 0.25), check("k_proj", nan, Verdict::failed)})});
  const BaselineChanges changes = compare_to_baseline(before, broken, "");
  REQUIRE(table(changes, kShares) != nullptr);
  CHECK(table(changes, kShares)->rows == Rows{{"linear", "2.50e-01", "inf", "–"}});
}

TEST_CASE("baseline: new failures and those that are gone, by name; one that stays is neither") {
  const RunReport before = run_of({case_of("3.1", {check("q_proj", 2, Verdict::failed), check("k_proj", 0.5),
                                                   check("v_proj", 3, Verdict::failed)})});
  const RunReport now = run_of({case_of("3.1", {check("q_proj", 0.5), check("k_proj", 4, Verdict::failed),
                                                check("v_proj", 3, Verdict::failed)})});
  const BaselineChanges changes = compare_to_baseline(before, now, "");
  REQUIRE(table(changes, "New failures") != nullptr);
  REQUIRE(table(changes, "New failures")->rows.size() == 1);
  CHECK(table(changes, "New failures")->rows[0][1] == "k_proj");
  REQUIRE(table(changes, "Wrong then, not now") != nullptr);
  REQUIRE(table(changes, "Wrong then, not now")->rows.size() == 1);
  CHECK(table(changes, "Wrong then, not now")->rows[0][1] == "q_proj");
  CHECK(table(changes, kCases) == nullptr);  // as many of each as before
}

TEST_CASE("baseline: a crash is a new failure") {
  const RunReport before = run_of({case_of("3.1", {check("q_proj", 0.25)})});
  RunReport now = before;
  now.phases[0].cases[0].crashed = true;
  now.phases[0].cases[0].message = "killed by signal 11 (SIGSEGV)";
  const BaselineChanges changes = compare_to_baseline(before, now, "");
  REQUIRE(table(changes, "New failures") != nullptr);
  CHECK(table(changes, "New failures")->rows[0].back() == "killed by signal 11 (SIGSEGV)");
  REQUIRE(table(changes, kCases) != nullptr);
  CHECK(table(changes, kCases)->rows == Rows{{"Phase 3: forward pass", "passed", "error"},
                                             {"3.1 a case", "passed: 1 passed", "error: 1 passed, 1 error"}});
}

TEST_CASE("baseline: checks and cases that appeared or vanished are counted, folded rows in full") {
  Check folded = check("q_proj", 0.25);
  folded.count = 10;
  const RunReport before = run_of({case_of("3.1", {folded}), case_of("3.2", {check("q_proj", 0.25)})});
  folded.count = 8;
  const RunReport now = run_of({case_of("3.1", {folded}), case_of("3.3", {check("q_proj", 0.25)})});
  const BaselineChanges changes = compare_to_baseline(before, now, "");
  REQUIRE(table(changes, kCases) != nullptr);
  CHECK(table(changes, kCases)->rows == Rows{{"3.1 a case", "passed: 10 passed", "passed: 8 passed"},
                                             {"3.3 a case", "–", "passed: 1 passed"},
                                             {"3.2 a case", "passed: 1 passed", "–"}});
}

TEST_CASE("baseline: what was not asked for is not gone") {
  const RunReport before = run_of({case_of("3.1", {check("q_proj", 0.25)}), case_of("3.2", {})});
  RunReport now = run_of({case_of("3.1", {check("q_proj", 0.25)})});
  now.phases[0].partial = true;
  CHECK(compare_to_baseline(before, now, "").tables.empty());
  CHECK(compare_to_baseline(now, run_of({case_of("3.1", {check("q_proj", 0.25)}), case_of("3.2", {})}), "")
            .tables.empty());
  const BaselineChanges strangers = compare_to_baseline(before, run_of({}, 4), "old.json");
  CHECK(strangers.phases.empty());
  CHECK(baseline_terminal(strangers) == "against old.json: the two have no phase in common\n");
}

TEST_CASE("baseline: another model or other weights are said, another machine is not") {
  RunReport before = run_of({case_of("3.1", {check("q_proj", 0.25)})}), now = before;
  now.phases[0].model = "elsewhere";
  before.phases[0].environment.entries = {{"weight hash", "aa"}, {"CPU", "one"}, {"commit", "1"}};
  now.phases[0].environment.entries = {{"weight hash", "bb"}, {"CPU", "two"}, {"commit", "2"}};
  const BaselineChanges changes = compare_to_baseline(before, now, "");
  REQUIRE(changes.tables.size() == 1);
  CHECK(changes.tables[0].rows ==
        Rows{{"model", "fixtures/models/tiny", "elsewhere"}, {"weight hash", "aa", "bb"}});
}

TEST_CASE("baseline: long lists are cut, and say by how much") {
  std::vector<Check> many;
  for (int i = 0; i < 70; ++i) many.push_back(check("op " + std::to_string(i), 2, Verdict::failed));
  const RunReport before = run_of({case_of("3.1", {check("q_proj", 2)})}),
                  now = run_of({case_of("3.1", many)});
  const BaselineChanges changes = compare_to_baseline(before, now, "");
  REQUIRE(table(changes, "New failures") != nullptr);
  CHECK(table(changes, "New failures")->rows.back()[1] == "and 20 more");
  CHECK(baseline_terminal(changes).find("more in SUMMARY.md") != std::string::npos);
}

TEST_CASE("baseline: what was written is read back; anything else is refused by name") {
  const TemporaryDirectory directory;
  RunReport run = run_of({case_of("3.1", {check("q_proj", 0.25)})});
  run.phases[0].cases[0].checks[0].count = 12;
  run.phases[0].peak_bytes = std::int64_t{5} << 30;
  write_file_atomically(directory / "report.json", report_json(run));
  const RunReport again = read_report(directory / "report.json");
  CHECK(again.phases[0].counts().passed == 12);
  CHECK(again.phases[0].peak_bytes == std::int64_t{5} << 30);
  CHECK(compare_to_baseline(run, again, "").tables.empty());
  CHECK_THROWS_AS(read_report(directory / "absent.json"), Error);
  for (const char* count : {"0", "-1", "1e99", "1.5", "99999999999", "\"12\""}) {
    std::string text = report_json(run);
    text.replace(text.find("\"count\": 12"), 11, std::string("\"count\": ") + count);
    write_file_atomically(directory / "report.json", text);
    CHECK_THROWS_AS(read_report(directory / "report.json"), Error);
  }
}

TEST_CASE("baseline: of two models each is compared with itself") {
  const auto slim_of = [](RunReport run, double share) {
    PhaseReport slim = run.phases[0];
    slim.model = "build/models/slim";
    slim.folder = "slim";
    slim.cases[0].checks[0].share = share;
    run.phases.push_back(slim);
    return run;
  };
  const RunReport tiny = run_of({case_of("3.2", {check("q_proj", 0.2)})});
  const RunReport both = slim_of(tiny, 0.3);
  CHECK(compare_to_baseline(both, both, "old").tables.empty());
  CHECK(compare_to_baseline(both, both, "old").phases == std::vector<std::string>{"3", "3 (slim)"});

  RunReport worse = both;
  worse.phases[1].cases[0].checks[0].verdict = Verdict::failed;
  const BaselineChanges changes = compare_to_baseline(both, worse, "old");
  REQUIRE(table(changes, "New failures") != nullptr);
  CHECK(table(changes, "New failures")->rows.at(0).at(0) == "3.2 (slim)");

  // An earlier report of tiny alone says nothing of slim, and is not compared with it.
  const BaselineChanges half = compare_to_baseline(tiny, both, "old");
  CHECK(half.phases == std::vector<std::string>{"3"});
  CHECK(half.tables.empty());
}
