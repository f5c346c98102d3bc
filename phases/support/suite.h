// What the tests of a phase suite use: the run's options, and the calls that hand verdicts to the report.
//
// A suite is a Catch2 executable whose main() is suite_main.cpp. A test is named after its case and tagged
// with it:
//
//   TEST_CASE("3.2 several tokens: error does not grow with length", "[3.2]") {
//     record_all(judge(...));
//   }
//
// Several tests may share a case: their checks are merged in the order they ran. A case that records nothing
// is untested, which is a failure.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "harness/dtype.h"
#include "harness/report.h"

namespace plumbline::phases {

struct SuiteOptions {
  std::filesystem::path model;       // checkpoint directory
  std::string engine = "cpu";        // the subject: "cpu" or "cuda"
  DType dtype = DType::f32;          // the subject's storage
  int threads = 0;                   // 0: the engine's own choice
  std::string isa;                   // instruction set; empty: the best there is
  std::filesystem::path tolerances;  // tolerances.yaml
  std::filesystem::path fixtures;    // the folder of models, prompts and goldens
  bool quick = false;                // fewer inputs per case, where a case has many
};

// Of this run; valid from prepare() on.
const SuiteOptions& options();

// Each phase file defines this. It runs once, before any test: load what all tests need. An Error thrown here
// is bad input: the suite prints it as one line and exits 2 without a report.
void prepare();

// Thrown by prepare() when the machine lacks what the run asks for ("no CUDA device"): every case of the
// suite is skipped with this reason.
class NotAvailable : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Adds a check to the current case, and fails the test with a readable line unless the verdict is passed or
// skipped. The test goes on. Throws InternalError outside of a test.
void record(Check check);
void record_all(std::vector<Check> checks);

// Something that cannot be checked here, and why; it counts as skipped, never as passed.
void record_skip(std::string what, std::string reason);

// A check with gate 0 over two texts, for what is right or wrong as a whole (a config field, a list of ids).
// `op` is an op class name, or empty. A mismatch notes both, cut to a readable length.
void record_equal(std::string what, std::string subject, std::string_view expected, std::string_view actual,
                  std::string op = {});

// A table or picture under the current case: shown, not judged.
void add_evidence(Evidence evidence);

// The sentence that opens the page on a failure; the first one given stays.
void set_headline(std::string sentence);

// "name: value" of the environment section; a second value under the same name replaces the first.
void add_environment(std::string name, std::string value);

// What the run took for granted; each text is listed once.
void add_assumption(std::string text);

}  // namespace plumbline::phases
