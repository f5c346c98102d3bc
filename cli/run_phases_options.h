// What run_phases is asked to do, checked as far as it can be before anything runs.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "harness/report.h"

namespace plumbline::cli {

struct RunOptions {
  std::vector<std::string> phases;  // as given
  std::vector<std::string> cases;
  std::string model;  // as given; empty: tiny, and then slim
  std::string engine = "cpu";
  std::string dtype = "f32";
  int threads = 0;  // 0: the engine's own choice
  std::string isa;
  std::string report_dir;  // empty: reports/ in the source tree
  std::string baseline;    // an earlier report.json; empty: none
  bool quick = false;
};

// One suite to run.
struct PhaseRun {
  PhaseReport asked;               // number, name, title, model, folder, engine, the command that repeats it
  std::filesystem::path model;     // its checkpoint
  std::vector<std::string> cases;  // ids; empty: all
};

// Of the source tree that this command was built from.
std::filesystem::path source_dir();
std::filesystem::path report_dir(const RunOptions& options);
std::filesystem::path tolerances_file();

// The suites asked for, in order: all without --phase and --case; a case stands for its phase. Without a
// model those of tiny, and then those of slim, which tools/setup.sh makes in `build` (the folder of the
// suites). Throws Error for an unknown phase, case, engine or dtype, a model that is no directory, or broken
// tolerances.
std::vector<PhaseRun> plan(const RunOptions& options, const std::filesystem::path& build);

// The command line of one suite.
std::vector<std::string> suite_command(const RunOptions& options, const PhaseRun& run,
                                       const std::filesystem::path& program,
                                       const std::filesystem::path& part);

}  // namespace plumbline::cli
