#include "phases/support/recorder.h"

#include <algorithm>

#include <fmt/format.h>

#include "harness/error.h"
#include "harness/report_text.h"
#include "phases/support/cases.h"

namespace plumbline::phases {
namespace {

double seconds_since(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

// A case may have several tests, and each may go wrong.
void append(std::string& message, std::string_view more) {
  if (!message.empty()) message += "; ";
  message += one_line(more);
}

// Progress goes to stdout a line at a time: run_phases reads it while the suite runs.
void say(const std::string& line) {
  fmt::print("{}\n", one_line(line));
  std::fflush(stdout);
}

}  // namespace

Recorder& recorder() {
  static Recorder instance;
  return instance;
}

void Recorder::begin_suite(int phase, const SuiteOptions& options, const std::vector<std::string>& cases,
                           std::filesystem::path part) {
  const PhaseInfo& info = phase_info(phase);
  options_ = options;
  part_ = std::move(part);
  suite_began_ = Clock::now();
  for (const CaseInfo& entry : info.cases) {
    const bool wanted = cases.empty() || std::ranges::find(cases, entry.id) != cases.end();
    if (wanted) asked_.emplace_back(entry.id);
  }
  report_.phase = phase;
  report_.name = info.name;
  report_.title = info.title;
  report_.model = options.model.string();
  report_.engine = options.engine;
  report_.repeat_command = fmt::format("./run_phases.sh --phase {}", phase);
  report_.partial = asked_.size() < info.cases.size();
}

CaseReport& Recorder::case_of(std::string_view id) {
  const auto at = std::ranges::find(report_.cases, id, &CaseReport::id);
  if (at != report_.cases.end()) return *at;
  CaseReport fresh;
  fresh.id = id;
  fresh.title = case_info(id).title;
  // In the order of the table, whatever order the tests run in.
  const auto rank = [&](std::string_view of) { return std::ranges::find(asked_, of) - asked_.begin(); };
  const auto place =
      std::ranges::find_if(report_.cases, [&](const CaseReport& entry) { return rank(entry.id) > rank(id); });
  return *report_.cases.insert(place, fresh);
}

CaseReport& Recorder::current() {
  require(!report_.running.empty(), "a verdict was recorded outside of a test");
  return case_of(report_.running);
}

void Recorder::begin_test(std::string_view test_name) {
  const CaseInfo& info = case_of_test(test_name);
  if (announced_ != info.id) {
    announce_end();
    announced_ = info.id;
    say(fmt::format("case {} {}", info.id, info.title));
  }
  case_of(info.id);
  report_.running = info.id;
  test_began_ = Clock::now();
  write_part();  // with what the test before has found; a crash in this one is known to be this case's
}

void Recorder::end_test() {
  CaseReport& entry = current();
  entry.seconds += seconds_since(test_began_);
  report_.running.clear();
  report_.seconds = seconds_since(suite_began_);
}

void Recorder::announce_end() {
  if (announced_.empty()) return;
  const CaseReport& entry = case_of(announced_);
  const VerdictCounts counts = entry.counts();
  say(fmt::format("done {} {} {} {:.2f}s", entry.id, verdict_name(counts.overall()), entry.checked(),
                  entry.seconds));
  announced_.clear();
}

void Recorder::end_suite() {
  announce_end();
  for (const std::string& id : asked_) case_of(id);
  report_.seconds = seconds_since(suite_began_);
  report_.finished = true;
  write_part();
}

void Recorder::skip_suite(const std::string& reason) {
  for (const std::string& id : asked_) {
    Check check;
    check.what = report_.title;
    check.verdict = Verdict::skipped;
    check.note = reason;
    case_of(id).checks.push_back(check);
  }
  end_suite();
}

void Recorder::add(Check check) {
  CaseReport& entry = current();
  if (check.verdict != Verdict::passed && check.verdict != Verdict::skipped) {
    say(fmt::format("fail {} {}: {} {} (gate {}) {}", entry.id, check.what, check.metric,
                    figure(check.measured), figure(check.gate), check.note));
  }
  entry.checks.push_back(std::move(check));
}

void Recorder::add_evidence(Evidence evidence) {
  current().evidence.push_back(std::move(evidence));
}

void Recorder::crash(std::string_view message) {
  current().crashed = true;
  append(current().message, message);
  say(fmt::format("fail {} {}", report_.running, message));
}

void Recorder::fail(std::string_view message) {
  append(current().message, message);
  say(fmt::format("fail {} {}", report_.running, message));
}

void Recorder::write_part() const {
  if (!part_.empty()) write_file_atomically(part_, to_json(report_));
}

}  // namespace plumbline::phases
