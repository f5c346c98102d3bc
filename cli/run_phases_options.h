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
  std::string model;  // as given; empty: the tiny model
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
  PhaseReport asked;               // number, name, title, model, engine and the command that repeats it
  std::vector<std::string> cases;  // ids; empty: all
};

// Of the source tree that this command was built from.
std::filesystem::path source_dir();
std::filesystem::path model_dir(const RunOptions& options);
std::filesystem::path report_dir(const RunOptions& options);
std::filesystem::path tolerances_file();

// The suites asked for, in order: all without --phase and --case; a case stands for its phase. Throws Error
// for an unknown phase, case, engine or dtype, a model that is no directory, or broken tolerances.
std::vector<PhaseRun> plan(const RunOptions& options);

// The command line of one suite.
std::vector<std::string> suite_command(const RunOptions& options, const PhaseRun& run,
                                       const std::filesystem::path& program,
                                       const std::filesystem::path& part);

}  // namespace plumbline::cli
