// main() of every phase suite. The options are ours, not Catch2's: run_phases and a person at a debugger use
// the same.
//
// Exit status: as of the report (harness/verdict.h); 2 for bad input, with one line on stderr and no part.
#define CATCH_CONFIG_RUNNER
// A signal must end the process at once: the part on disk names the case, and reporting from inside a signal
// handler could hang.
#define CATCH_CONFIG_NO_POSIX_SIGNALS
#include <catch2/catch.hpp>

#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <limits>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "harness/error.h"
#include "harness/output_file.h"
#include "phases/support/cases.h"
#include "phases/support/recorder.h"
#include "phases/support/suite.h"

namespace plumbline::phases {
namespace {

struct Arguments {
  SuiteOptions options;
  std::string dtype = "f32";
  std::vector<std::string> cases;
  std::filesystem::path part;
};

void declare(CLI::App& app, Arguments& arguments) {
  SuiteOptions& options = arguments.options;
  const std::filesystem::path source = PLUMBLINE_SOURCE_DIR;
  options.fixtures = source / "fixtures";
  options.model = options.fixtures / "models" / "tiny";
  options.tolerances = options.fixtures / "tolerances.yaml";
  app.add_option("--model", options.model, "checkpoint directory");
  app.add_option("--engine", options.engine, "the subject")->check(CLI::IsMember({"cpu", "cuda"}));
  app.add_option("--dtype", arguments.dtype, "storage type of the subject");
  app.add_option("--threads", options.threads, "of the subject; 0: its own choice")
      ->check(CLI::Range(0, 4096));
  app.add_option("--isa", options.isa, "instruction set of the subject");
  app.add_option("--case", arguments.cases, "only this case, as 3.2; may be repeated")
      ->allow_extra_args(false);
  app.add_option("--part", arguments.part, "file for the results");
  app.add_option("--tolerances", options.tolerances, "tolerances.yaml");
  app.add_flag("--quick", options.quick, "fewer inputs per case");
}

// A test whose tag is not its case would be left out by --case, and a case of another phase be filed wrongly.
void require_well_named(const std::vector<Catch::TestCase>& tests) {
  for (const Catch::TestCase& test : tests) {
    const std::string id(case_of_test(test.name).id);
    require(phase_of_case(id).number == this_phase(), "the test '" + test.name + "' is another phase's");
    const bool tagged = std::ranges::find(test.tags, id) != test.tags.end();
    require(tagged, "the test '" + test.name + "' lacks its tag [" + id + "]");
  }
}

std::string tag_filter(const std::vector<std::string>& cases) {
  std::string filter;
  for (const std::string& id : cases) filter += (filter.empty() ? "[" : ",[") + id + "]";
  return filter;
}

// Returns Catch2's own status: 0 when nothing failed and something was asserted.
int run_tests(const std::vector<std::string>& cases) {
  Catch::Session session;
  Catch::ConfigData& config = session.configData();
  config.reporterName = kListenerName;
  using Warn = Catch::WarnAbout;
  config.warnings = static_cast<Warn::What>(Warn::NoAssertions | Warn::NoTests);
  if (!cases.empty()) config.testsOrTags = {tag_filter(cases)};
  require_well_named(Catch::getAllTestCasesSorted(session.config()));
  return session.run();
}

int run_suite(Arguments& arguments) {
  arguments.options.dtype = dtype_from_name(arguments.dtype);
  for (const std::string& id : arguments.cases) {
    if (phase_of_case(id).number != this_phase()) {
      throw Error(fmt::format("case {} is not one of phase {}", id, this_phase()), "--case");
    }
  }
  recorder().begin_suite(this_phase(), arguments.options, arguments.cases, arguments.part);
  try {
    prepare();
  } catch (const NotAvailable& reason) {
    recorder().skip_suite(reason.what());
    return exit_status(recorder().report().counts());
  }
  const int caught = run_tests(arguments.cases);
  recorder().end_suite();
  const int status = exit_status(recorder().report().counts());
  // Catch2 saw a failure that no verdict tells of: our bookkeeping is wrong, and a pass would be a lie.
  require(caught == 0 || status != kExitPassed, "a test failed that the report calls passed");
  return status;
}

// What a large tensor leaves goes to the next one, not back to the system, which would have to clear it anew.
// A long run of a large model would rather have the memory.
void keep_freed_memory() {
#ifdef __GLIBC__
  ::mallopt(M_MMAP_MAX, 0);
  ::mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
#endif
}

// The part is written: taking models, tokenizers and LibTorch's registries apart by piece helps nobody.
[[noreturn]] void end(int status) {
  std::cout.flush();
  std::fflush(nullptr);
  std::_Exit(status);
}

}  // namespace
}  // namespace plumbline::phases

int main(int argc, char** argv) {
  plumbline::file_size_limit_is_an_error();
  plumbline::phases::Arguments arguments;
  CLI::App app(fmt::format("plumbline phase suite {}", plumbline::phases::this_phase()));
  plumbline::phases::declare(app, arguments);
  try {
    app.parse(argc, argv);
    if (arguments.options.quick) plumbline::phases::keep_freed_memory();
    plumbline::phases::end(plumbline::phases::run_suite(arguments));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    std::cerr << "plumbline: " << error.what() << " (see --help)\n";
    return plumbline::kExitBadInput;
  } catch (const plumbline::Error& error) {
    std::cerr << "plumbline: " << error.what() << '\n';
    return plumbline::kExitBadInput;
  } catch (const std::exception& error) {
    std::cerr << "plumbline: " << error.what() << '\n';
    return plumbline::kExitFailed;
  }
}
