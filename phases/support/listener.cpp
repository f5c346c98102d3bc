// Catch2 reports to this and to nothing else: tests begin and end, and what fails beside the recorded checks.
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include <catch2/catch.hpp>

#include <filesystem>
#include <string>

#include <fmt/format.h>

#include "phases/support/recorder.h"

namespace {

using plumbline::phases::recorder;

// The name of the file alone: a report holds no path of the machine that built it.
std::string place(const Catch::SourceLineInfo& line) {
  return fmt::format("{}:{}", std::filesystem::path(line.file).filename().string(), line.line);
}

class Listener final : public Catch::TestEventListenerBase {
 public:
  using TestEventListenerBase::TestEventListenerBase;
  static std::string getDescription() { return "writes the part of a phase suite"; }

  void testCaseStarting(const Catch::TestCaseInfo& info) override {
    TestEventListenerBase::testCaseStarting(info);
    recorder().begin_test(info.name);
  }

  bool assertionEnded(const Catch::AssertionStats& stats) override {
    const Catch::AssertionResult& result = stats.assertionResult;
    if (result.isOk() || plumbline::phases::inside_record()) return true;
    if (result.getResultType() == Catch::ResultWas::ThrewException) {
      recorder().crash(std::string(result.getMessage()));
    } else {
      const std::string text =
          result.hasExpression() ? result.getExpandedExpression() : std::string(result.getMessage());
      recorder().fail(fmt::format("{} at {}", text, place(result.getSourceInfo())));
    }
    return true;
  }

  // A section without an assertion proves nothing, whatever the other tests of its case did.
  void sectionEnded(const Catch::SectionStats& stats) override {
    TestEventListenerBase::sectionEnded(stats);
    if (!stats.missingAssertions) return;
    plumbline::Check check;
    check.what = "test '" + stats.sectionInfo.name + "'";
    check.note = "it made no check";
    recorder().add(check);
  }

  void testCaseEnded(const Catch::TestCaseStats& stats) override {
    TestEventListenerBase::testCaseEnded(stats);
    recorder().end_test();
  }
};

}  // namespace

namespace plumbline_listener {
CATCH_REGISTER_REPORTER("plumbline", Listener)
}  // namespace plumbline_listener
