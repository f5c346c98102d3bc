// What reports must not hide: crashes, missing parts, NaN, checks that prove nothing. Each test says which
// mistake of a report it would catch.
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>

#include <catch2/catch.hpp>

#include "harness/error.h"
#include "harness/report.h"
#include "harness/report_text.h"
#include "tests/support/temporary_directory.h"

using namespace plumbline;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Check check(const std::string& what, Verdict verdict, double measured = 5e-7, double gate = 1e-6) {
  Check made;
  made.what = what;
  made.metric = "max abs";
  made.measured = measured;
  made.gate = gate;
  made.share = measured / gate;
  made.smallest_gate = measured;
  made.verdict = verdict;
  return made;
}

Check op_check(const std::string& op, Verdict verdict, bool trivial) {
  Check made = check("model.layers.0." + op, verdict);
  made.op = op;
  made.trivial = trivial;
  return made;
}

CaseReport case_of(const std::string& id, std::vector<Check> checks) {
  CaseReport made;
  made.id = id;
  made.title = "several tokens";
  made.checks = std::move(checks);
  return made;
}

PhaseReport phase_of(std::vector<CaseReport> cases) {
  PhaseReport made;
  made.phase = 3;
  made.name = "forward";
  made.title = "Phase 3: forward pass";
  made.model = "fixtures/models/tiny";
  made.engine = "cpu, f32";
  made.repeat_command = "./run_phases.sh --phase 3";
  made.cases = std::move(cases);
  made.finished = true;
  return made;
}

RunReport run_of(PhaseReport phase) {
  RunReport run;
  run.phases.push_back(std::move(phase));
  return run;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

TEST_CASE("report: one passed check passes, and the page opens with that") {
  const PhaseReport phase = phase_of({case_of("3.2", {check("lm_head", Verdict::passed)})});
  CHECK(exit_status(phase.counts()) == kExitPassed);
  CHECK(phase.opening_sentence().empty());
  CHECK(phase.repeat_case_command().empty());
  CHECK(phase_page(phase).starts_with("# Phase 3: forward pass: passed\n\n1 passed.\n"));
  CHECK(summary_page(run_of(phase)).starts_with("# plumbline: passed\n\n1 passed.\n"));
}

TEST_CASE("report: nothing checked is no pass") {
  CHECK(phase_of({}).counts().overall() == Verdict::untested);
  const PhaseReport empty_case =
      phase_of({case_of("3.1", {check("lm_head", Verdict::passed)}), case_of("3.2", {})});
  CHECK(empty_case.counts().overall() == Verdict::untested);
  CHECK(exit_status(empty_case.counts()) == kExitFailed);
  CHECK(empty_case.opening_sentence() == "3.2 several tokens: no check was made");
  CHECK(exit_status(RunReport{}.counts()) == kExitNothingJudged);
}

TEST_CASE("report: a suite that did not finish is an error beside what it had") {
  PhaseReport phase = phase_of({case_of("3.2", {check("lm_head", Verdict::passed)})});
  phase.finished = false;
  CHECK(phase.counts().error == 1);
  CHECK(phase.counts().passed == 1);
  CHECK(contains(phase_page(phase), "the suite did not finish"));
  CHECK(contains(phase_page(phase), "lm_head"));
  CHECK(contains(junit_xml(run_of(phase)), "errors=\"1\""));
}

TEST_CASE("report: a part without its end blames the case that was running") {
  const TemporaryDirectory directory;
  PhaseReport part = phase_of({case_of("3.1", {check("lm_head", Verdict::passed)}), case_of("3.2", {})});
  part.finished = false;
  part.running = "3.2";
  write_file_atomically(directory / "part.json", to_json(part));
  const PhaseReport merged =
      read_part(directory / "part.json", phase_of({}), "killed by signal 11 (SIGSEGV)");
  REQUIRE(merged.cases.size() == 2);
  CHECK(merged.cases[0].counts().overall() == Verdict::passed);
  CHECK(merged.cases[1].crashed);
  CHECK(merged.opening_sentence() ==
        "3.2 several tokens: the suite ended in this case: killed by signal 11 (SIGSEGV)");
  CHECK(merged.repeat_case_command() == "./run_phases.sh --phase 3 --case 3.2");
  PhaseReport judgement = merged;
  judgement.phase = 0;
  judgement.repeat_command = "plumbline judge trace";
  CHECK(judgement.repeat_case_command() == "plumbline judge trace");
}

TEST_CASE("report: a part that is missing or broken is an error, not an absence") {
  const TemporaryDirectory directory;
  const PhaseReport missing = read_part(directory / "none.json", phase_of({}), "");
  CHECK(missing.counts().overall() == Verdict::error);
  CHECK(missing.opening_sentence() == "the suite did not finish: it left no results");
  write_file_atomically(directory / "cut.json", to_json(phase_of({})).substr(0, 100));
  const PhaseReport cut = read_part(directory / "cut.json", phase_of({}), "");
  CHECK(cut.counts().overall() == Verdict::error);
  CHECK(contains(cut.error, "cannot be read: cut.json"));
  CHECK(contains(summary_table(run_of(missing)), "error"));
}

TEST_CASE("report: a row may stand for every Unicode scalar value, and a count beyond reason is refused") {
  Check many = check("characters", Verdict::passed);
  many.count = 1'112'064;
  const std::string text = to_json(phase_of({case_of("3.1", {many})}));
  CHECK(phase_from_json(text, "part").counts().passed == 1'112'064);
  std::string wrong = text;
  wrong.replace(wrong.find("1112064", wrong.find("\"count\"")), 7, "2000001");
  CHECK_THROWS_WITH(phase_from_json(wrong, "part"), Catch::Contains("impossible count"));
  many.count = 0;
  CHECK_THROWS_AS(to_json(phase_of({case_of("3.1", {many})})), InternalError);
}

TEST_CASE("report: a suite that crashed after its last case is still an error") {
  const TemporaryDirectory directory;
  const PhaseReport part = phase_of({case_of("3.2", {check("lm_head", Verdict::passed)})});
  write_file_atomically(directory / "part.json", to_json(part));
  const PhaseReport merged = read_part(directory / "part.json", phase_of({}), "killed by signal 6 (SIGABRT)");
  CHECK(merged.counts().overall() == Verdict::error);
  CHECK(contains(merged.opening_sentence(), "SIGABRT"));
}

TEST_CASE("report: an op that is only trivially right is mistrusted") {
  const PhaseReport phase = phase_of({case_of(
      "3.1", {op_check("rope", Verdict::passed, true), op_check("rope", Verdict::skipped, false),
              op_check("linear", Verdict::passed, true), op_check("linear", Verdict::passed, false)})});
  CHECK(phase.mistrusted_ops() == std::vector<std::string>{"rope"});
  CHECK(phase.counts().mistrusted == 1);
  CHECK(exit_status(phase.counts()) == kExitFailed);
  CHECK(contains(phase_page(phase), "Mistrusted, for all their checks here are trivial: rope."));
  CHECK(contains(junit_xml(run_of(phase)), "type=\"mistrusted\""));
}

TEST_CASE("report: in a part of a phase, ops that are only trivially right are skipped, and prove nothing") {
  PhaseReport phase = phase_of({case_of("3.1", {op_check("rope", Verdict::passed, true)})});
  phase.partial = true;
  CHECK(phase.mistrusted_ops().empty());
  CHECK(phase.counts().skipped == 1);
  CHECK(phase.counts().passed == 0);
  CHECK(exit_status(phase.counts()) == kExitNothingJudged);
}

TEST_CASE("report: a crash and a failed assertion count, whatever the checks say") {
  CaseReport entry = case_of("3.2", {check("lm_head", Verdict::passed)});
  entry.message = "1 == 2";
  CHECK(entry.counts().overall() == Verdict::failed);
  entry.crashed = true;
  CHECK(entry.counts().overall() == Verdict::error);
}

TEST_CASE("report: the headline opens the page, and the command repeats the case that failed") {
  PhaseReport phase = phase_of({case_of("3.2", {check("lm_head", Verdict::passed)}),
                                case_of("3.3", {check("model.norm", Verdict::failed, 3.1e-2)})});
  CHECK(phase.opening_sentence() == "3.3 several tokens: model.norm: max abs 3.10e-02 (gate 1.00e-06)");
  phase.headline = "first wrong op: model.norm";
  CHECK(
      phase_page(phase).starts_with("# Phase 3: forward pass: failed\n\nfirst wrong op: model.norm\n\n"
                                    "Repeat that case with\n\n    ./run_phases.sh --phase 3 --case 3.3\n"));
  const std::string row =
      "| model.norm |  | max abs | 3.10e-02 | 1.00e-06 | 31000 | 3.10e-02 | failed |  |\n";
  CHECK(contains(phase_page(phase), row));
}

TEST_CASE("report: of many passed rows the worst is shown, of wrong ones all") {
  std::vector<Check> checks;
  for (int i = 0; i < 120; ++i) {
    Check made = op_check("linear", Verdict::passed, false);
    made.what = "layer " + std::to_string(i);
    made.share = i == 77 ? 0.5 : 0.1;
    checks.push_back(made);
  }
  for (int i = 0; i < 30; ++i) checks.push_back(check("wrong " + std::to_string(i), Verdict::failed));
  const std::string page = phase_page(phase_of({case_of("3.3", checks)}));
  CHECK(contains(page, "| layer 77 |"));
  CHECK(contains(page, "passed (worst of 120 checks)"));
  CHECK_FALSE(contains(page, "| layer 78 |"));
  for (int i = 0; i < 30; ++i) CHECK(contains(page, "| wrong " + std::to_string(i) + " |"));
  CHECK(contains(report_json(run_of(phase_of({case_of("3.3", checks)}))), "layer 78"));
}

TEST_CASE("report: NaN is the worst share of all, wherever it stands") {
  const Check nan = check("a", Verdict::failed, kNan), large = check("b", Verdict::failed, 1e3);
  for (const auto& checks : {std::vector<Check>{nan, large}, std::vector<Check>{large, nan}}) {
    CHECK(contains(summary_page(run_of(phase_of({case_of("3.3", checks)}))), "| 0 passed, 2 failed | nan |"));
  }
}

TEST_CASE("report: JSON brings back everything, NaN and infinities too") {
  PhaseReport phase = phase_of({case_of("3.2", {check("lm_head", Verdict::failed, kNan, -kInfinity)})});
  phase.cases[0].checks[0].share = kInfinity;
  phase.cases[0].checks[0].measured = 0.1;
  phase.cases[0].evidence.push_back({"by layer", {"layer", "error"}, {{"0", "1e-7"}}});
  phase.cases[0].message = "a \"quoted\"\nmessage";
  phase.assumptions = {"f32"};
  phase.environment.entries = {{"CPU", "some"}};
  phase.running = "3.2";
  phase.partial = true;
  const PhaseReport again = phase_from_json(to_json(phase), "part");
  CHECK(to_json(again) == to_json(phase));
  CHECK(again.cases[0].checks[0].measured == 0.1);
  CHECK(again.cases[0].checks[0].share == kInfinity);
  CHECK(again.cases[0].checks[0].gate == -kInfinity);
  CHECK(std::isnan(again.cases[0].checks[0].smallest_gate) ==
        std::isnan(phase.cases[0].checks[0].smallest_gate));
  RunReport run = run_of(phase);
  run.skipped_reason = "no CUDA device";
  CHECK(report_json(run_from_json(report_json(run), "report.json")) == report_json(run));
}

TEST_CASE("report: JSON that is no report is refused by name") {
  for (const char* text : {"", "[]", "{}", "{\"phase\": \"three\"}", "nonsense"}) {
    CHECK_THROWS_AS(phase_from_json(text, "part.json"), Error);
    CHECK_THROWS_WITH(run_from_json(text, "report.json"), Catch::StartsWith("report.json: not a report"));
  }
}

TEST_CASE("report: no text breaks a table, a line or the XML") {
  CHECK(markdown_cell("a|b\nc`<im>") == "a\\|b\\\\nc\\`&lt;im>");
  CHECK(one_line("bell\x07 \xff tab\t") == "bell\\x07 \xEF\xBF\xBD tab\\t");
  CHECK(one_line("\xED\xA0\x80") == "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");  // a surrogate is no character
  CHECK(one_line("é漢😀") == "é漢😀");
  CHECK(xml_text("<a & \"b\">\x01") == "&lt;a &amp; &quot;b&quot;&gt;\\x01");
  PhaseReport phase = phase_of({case_of("3.2", {check("bad\xff|\n", Verdict::failed)})});
  phase.cases[0].message = "control \x01 and <tag>";
  CHECK(phase_from_json(to_json(phase), "part").cases[0].checks[0].what == "bad\xEF\xBF\xBD|\n");
  CHECK_FALSE(contains(junit_xml(run_of(phase)), "\x01"));
}

TEST_CASE("report: figures have one notation") {
  CHECK(figure(0) == "0");
  CHECK(figure(-0.0) == "0");
  CHECK(figure(3) == "3");
  CHECK(figure(0.5) == "5.00e-01");
  CHECK(figure(1e6) == "1.00e+06");
  CHECK(figure(kNan) == "nan");
  CHECK(figure(-kInfinity) == "-inf");
}

TEST_CASE("report: times and environment stand in the last section alone") {
  PhaseReport one = phase_of({case_of("3.2", {check("lm_head", Verdict::passed)})});
  PhaseReport two = one;
  two.seconds = two.cases[0].seconds = 12;
  two.environment.entries = {{"CPU", "another"}};
  const auto head = [](const std::string& page) {
    return page.substr(0, page.find("## Environment and times"));
  };
  CHECK(head(phase_page(one)) == head(phase_page(two)));
  CHECK(head(summary_page(run_of(one))) == head(summary_page(run_of(two))));
}

TEST_CASE("report: writing replaces whole pages and removes those of phases that were not judged") {
  const TemporaryDirectory directory;
  write_file_atomically(directory / "phase5_generation.md", "old");
  write_file_atomically(directory / "notes.md", "mine");
  const PhaseReport phase = phase_of({case_of("3.2", {check("lm_head", Verdict::passed)})});
  write_reports(run_of(phase), directory.path());
  CHECK_FALSE(std::filesystem::exists(directory / "phase5_generation.md"));
  CHECK(read(directory / "notes.md") == "mine");
  CHECK(read(directory / "phase3_forward.md") == phase_page(phase));
  CHECK(read(directory / "junit.xml") == junit_xml(run_of(phase)));
  const auto files = std::filesystem::directory_iterator(directory.path());
  CHECK(std::distance(begin(files), end(files)) == 5);  // no temporary is left
}

TEST_CASE("report: a folder that cannot be written is bad input, and what was there stays") {
  const TemporaryDirectory directory;
  write_file_atomically(directory / "file", "");
  CHECK_THROWS_AS(write_reports(run_of(phase_of({})), directory / "file"), Error);
  CHECK_THROWS_AS(write_file_atomically(directory / "none" / "page.md", "text"), Error);
}

TEST_CASE("report: a row that stands for several checks counts as so many, on every page") {
  PhaseReport phase = phase_of({case_of("3.2", {op_check("q_proj", Verdict::passed, false)})});
  phase.cases[0].checks[0].count = 12;
  CHECK(phase.counts().passed == 12);
  CHECK(contains(phase_page(phase), "passed (worst of 12 checks)"));
  CHECK(contains(summary_page(run_of(phase)), "\n12 passed.\n"));
  phase.cases[0].checks.push_back(op_check("q_proj", Verdict::passed, false));
  phase.cases[0].checks[0].count = 30;
  CHECK(contains(phase_page(phase), "31 checks: 31 passed."));
  CHECK(contains(phase_page(phase), "passed (worst of 31 checks)"));
  phase.cases[0].checks[0].trivial = phase.cases[0].checks[1].trivial = true;
  CHECK(phase.counts().mistrusted == 31);
}

TEST_CASE("report: the summary says what was assumed, what was not judged and why, and the peak memory") {
  Check skip = check("other layouts", Verdict::skipped);
  skip.note = "one layout yet";
  PhaseReport phase = phase_of({case_of("3.2", {check("lm_head", Verdict::passed), skip, skip})});
  phase.assumptions = {"no goldens for these weights"};
  phase.peak_bytes = std::int64_t{3} << 29;
  const std::string page = summary_page(run_of(phase));
  CHECK(contains(page, "- no goldens for these weights\n"));
  CHECK(contains(page, "| 3.2 several tokens | 2 | one layout yet |"));
  CHECK(contains(page, "| Phase 3: forward pass | 0.00 s | 1.50 GiB |"));
  phase.peak_bytes = 0;
  CHECK(contains(summary_page(run_of(phase)), "| Phase 3: forward pass | 0.00 s | – |"));
}

TEST_CASE("report: a second model has pages in a folder of its own, and a row in every table") {
  RunReport run = run_of(phase_of({case_of("3.2", {check("lm_head", Verdict::passed)})}));
  PhaseReport second = phase_of({case_of("3.2", {check("lm_head", Verdict::failed)})});
  second.model = "build/models/slim";
  second.folder = "slim";
  second.environment.entries = {{"weight hash", "bb"}};
  run.phases[0].environment.entries = {{"weight hash", "aa"}};
  run.phases.push_back(second);
  CHECK(phase_page_name(run.phases[0]) == "phase3_forward.md");
  CHECK(phase_page_name(second) == "slim/phase3_forward.md");

  const std::string summary = summary_page(run);
  CHECK(contains(summary, "| Phase 3: forward pass | fixtures/models/tiny | passed |"));
  CHECK(contains(summary, "| Phase 3: forward pass | build/models/slim | failed |"));
  CHECK(contains(summary, "[slim/phase3_forward.md](slim/phase3_forward.md)"));
  CHECK(contains(summary, "**Phase 3: forward pass, slim**: "));
  CHECK(contains(summary, "| weight hash | aa |\n| weight hash, slim | bb |"));
  CHECK(contains(summary_table(run), "Phase 3: forward pass, slim  "));
  CHECK(contains(junit_xml(run), "<testsuite name=\"plumbline.phase3_forward\""));
  CHECK(contains(junit_xml(run), "<testsuite name=\"plumbline.slim.phase3_forward\""));
  CHECK(run.counts().failed == 1);
  CHECK(exit_status(run.counts()) == kExitFailed);

  const RunReport again = run_from_json(report_json(run), "report.json");
  CHECK(again.phases.at(0).folder.empty());
  CHECK(again.phases.at(1).folder == "slim");
}

TEST_CASE("report: a second model's pages go when a run has none of them, and nothing else goes") {
  const TemporaryDirectory directory;
  const PhaseReport first = phase_of({case_of("3.2", {check("lm_head", Verdict::passed)})});
  PhaseReport second = first;
  second.folder = "slim";
  PhaseReport third = second;
  third.phase = 4;
  third.name = "sampling";
  write_reports({{first, second, third}, {}, {}}, directory.path());
  CHECK(std::filesystem::exists(directory / "slim" / "phase4_sampling.md"));
  // Another report's pages, which this one knows nothing of.
  std::filesystem::create_directory(directory / "old");
  write_file_atomically(directory / "old" / "phase3_forward.md", "old");

  write_reports({{first, second}, {}, {}}, directory.path());
  CHECK(std::filesystem::exists(directory / "slim" / "phase3_forward.md"));
  CHECK_FALSE(std::filesystem::exists(directory / "slim" / "phase4_sampling.md"));

  write_reports(run_of(first), directory.path());
  CHECK_FALSE(std::filesystem::exists(directory / "slim"));
  CHECK(read(directory / "phase3_forward.md") == phase_page(first));
  CHECK(read(directory / "old" / "phase3_forward.md") == "old");
}

TEST_CASE("report: no report leads out of its folder") {
  PhaseReport phase = phase_of({case_of("3.2", {check("lm_head", Verdict::passed)})});
  for (const char* name : {"..", "../old", "/elsewhere", "a/b", "."}) {
    phase.folder = name;
    CHECK_THROWS_AS(phase_from_json(to_json(phase), "part"), Error);
  }
}
