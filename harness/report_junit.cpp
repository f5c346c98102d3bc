// junit.xml, for CI servers: one testsuite per phase and model, one testcase per case.
#include <algorithm>

#include <fmt/format.h>

#include "harness/report.h"
#include "harness/report_text.h"

namespace plumbline {
namespace {

constexpr std::size_t kLinesPerCase = 50;  // of wrong checks; report.json has them all

std::string line_of(const Check& check) {
  return fmt::format("{}: {} {}: {} {} (gate {}) {}", verdict_name(check.verdict), check.what, check.subject,
                     check.metric, figure(check.measured), figure(check.gate), check.note);
}

std::string wrong_lines(const CaseReport& entry) {
  std::string text;
  std::size_t lines = 0;
  for (const Check& check : entry.checks) {
    if (check.verdict == Verdict::passed) continue;
    if (++lines <= kLinesPerCase) text += line_of(check) + "\n";
  }
  if (lines > kLinesPerCase) text += fmt::format("and {} more\n", lines - kLinesPerCase);
  return text;
}

std::string first_reason(const CaseReport& entry) {
  for (const Check& check : entry.checks) {
    if (check.verdict == Verdict::skipped && !check.note.empty()) return check.note;
  }
  return "skipped";
}

// What stands inside of <testcase>; empty for a pass.
std::string outcome(const CaseReport& entry) {
  const VerdictCounts counts = entry.counts();
  const Verdict verdict = counts.overall();
  if (verdict == Verdict::passed) return {};
  if (verdict == Verdict::skipped) {
    return fmt::format("      <skipped message=\"{}\"/>\n", xml_text(first_reason(entry)));
  }
  const char* element = verdict == Verdict::error ? "error" : "failure";
  const std::string message = entry.message.empty() ? counts.to_string() : entry.message;
  return fmt::format("      <{0} message=\"{1}\" type=\"{2}\">{3}</{0}>\n", element, xml_text(message),
                     verdict_name(verdict), xml_text(wrong_lines(entry)));
}

struct Tally {
  int tests = 0, failures = 0, errors = 0, skipped = 0;
  void add(Verdict verdict) {
    ++tests;
    errors += verdict == Verdict::error ? 1 : 0;
    skipped += verdict == Verdict::skipped ? 1 : 0;
    const bool failure =
        verdict == Verdict::failed || verdict == Verdict::mistrusted || verdict == Verdict::untested;
    failures += failure ? 1 : 0;
  }
};

std::string testsuite(const PhaseReport& phase) {
  const std::string folder = phase.folder.empty() ? std::string() : phase.folder + ".";
  const std::string group = fmt::format("plumbline.{}phase{}_{}", folder, phase.phase, phase.name);
  Tally tally;
  std::string body;
  const auto testcase = [&](const std::string& name, double seconds, Verdict verdict,
                            const std::string& inner) {
    tally.add(verdict);
    body += fmt::format("    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3f}\">\n{}    </testcase>\n",
                        xml_text(group), xml_text(name), seconds, inner);
  };
  for (const CaseReport& entry : phase.judged_cases()) {
    testcase(entry.id + " " + entry.title, entry.seconds, entry.counts().overall(), outcome(entry));
  }
  if (!phase.finished || !phase.error.empty()) {
    const std::string why = phase.error.empty() ? "it did not reach its end" : phase.error;
    testcase("suite", 0, Verdict::error,
             fmt::format("      <error message=\"the suite did not finish: {}\" type=\"error\"/>\n",
                         xml_text(why)));
  } else if (tally.tests == 0) {
    testcase("suite", 0, Verdict::untested,
             "      <failure message=\"the suite made no check\" type=\"untested\"/>\n");
  }
  return fmt::format(
             "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" "
             "time=\"{:.3f}\">\n",
             xml_text(group), tally.tests, tally.failures, tally.errors, tally.skipped, phase.seconds) +
         body + "  </testsuite>\n";
}

}  // namespace

std::string junit_xml(const RunReport& run) {
  std::string text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"plumbline\">\n";
  if (!run.skipped_reason.empty()) {
    text += fmt::format(
        "  <testsuite name=\"plumbline\" tests=\"1\" failures=\"0\" errors=\"0\" skipped=\"1\">\n"
        "    <testcase classname=\"plumbline\" name=\"run\">\n      <skipped message=\"{}\"/>\n"
        "    </testcase>\n  </testsuite>\n",
        xml_text(run.skipped_reason));
  }
  for (const PhaseReport& phase : run.phases) text += testsuite(phase);
  return text + "</testsuites>\n";
}

}  // namespace plumbline
