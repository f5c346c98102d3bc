// What a suite knows of itself while it runs, and the part file that it keeps up to date. suite.cpp feeds it
// from the tests, listener.cpp from Catch2.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "harness/report.h"
#include "phases/support/suite.h"

namespace plumbline::phases {

class Recorder {
 public:
  // `cases` are the ids asked for; empty: all of the phase. An empty `part` path writes no file.
  void begin_suite(int phase, const SuiteOptions& options, const std::vector<std::string>& cases,
                   std::filesystem::path part);
  void begin_test(std::string_view test_name);
  void end_test();
  // Every case asked for that did not run is untested. Writes the part for good.
  void end_suite();
  // Instead of tests: all cases are skipped for this reason.
  void skip_suite(const std::string& reason);

  void add(Check check);
  void add_evidence(Evidence evidence);
  void crash(std::string_view message);  // an exception escaped from the current test
  void fail(std::string_view message);   // an assertion failed that is no check
  PhaseReport& report() { return report_; }
  const SuiteOptions& options() const { return options_; }

 private:
  CaseReport& current();  // throws InternalError outside of a test
  CaseReport& case_of(std::string_view id);
  void announce_end();
  void write_part() const;

  using Clock = std::chrono::steady_clock;
  SuiteOptions options_;
  std::vector<std::string> asked_;  // case ids, in the order of the table
  std::filesystem::path part_;
  PhaseReport report_;
  std::string announced_;  // the case named by the last "case" line on stdout
  Clock::time_point suite_began_, test_began_;
};

Recorder& recorder();

// The phase that this executable is; phase_number.cpp is compiled for each.
int this_phase();

// The name under which listener.cpp registers with Catch2.
inline constexpr const char* kListenerName = "plumbline";

// True while record() hands a check's failure to Catch2, so that the listener does not report it twice.
bool inside_record();

}  // namespace plumbline::phases
