// plumbline-phases: runs the phase suites one after the other and merges what they leave into the reports.
// ./run_phases.sh builds and calls it.
//
// Exit status: harness/verdict.h; 2 for bad usage or input, when nothing is written; 128 + signal when
// interrupted, when the old reports stay as they were.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <optional>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "cli/run_phases_child.h"
#include "cli/run_phases_environment.h"
#include "cli/run_phases_options.h"
#include "cli/run_phases_progress.h"
#include "harness/error.h"
#include "harness/output_file.h"
#include "harness/report.h"
#include "harness/report_baseline.h"
#include "impl/cuda/engine.h"

namespace plumbline::cli {
namespace {

namespace fs = std::filesystem;

void declare(CLI::App& app, RunOptions& options) {
  app.add_option("--phase", options.phases, "Run this phase, 1 to 5 (repeatable; all without it)")
      ->allow_extra_args(false);
  app.add_option("--case", options.cases, "Run this case, as 3.2 or 4A.1 (repeatable; implies its phase)")
      ->allow_extra_args(false);
  app.add_option("--model", options.model,
                 "Checkpoint directory (default: fixtures/models/tiny, then build/models/slim)");
  app.add_option("--engine", options.engine, "The engine under test: cpu or cuda (default: cpu)");
  app.add_option("--dtype", options.dtype, "Its storage type: f32, bf16 or f16 (default: f32)");
  app.add_option("--threads", options.threads, "Its threads (default: its own choice)")
      ->check(CLI::Range(1, 4096));
  app.add_option("--isa", options.isa, "Its instruction set (default: the best there is)");
  app.add_option("--report-dir", options.report_dir, "Where the reports go (default: reports/)");
  app.add_option("--baseline", options.baseline, "An earlier report.json: show what changed since then");
  app.add_flag("--quick", options.quick, "Fewer and shorter inputs; every case is still judged");
  app.footer(
      "Example: ./run_phases.sh --case 3.2 --model fixtures/models/tiny\n"
      "Exit status: 0 passed, 1 anything wrong, 2 bad usage or input, 3 nothing could be judged.");
}

// <report-dir>/.parts/<pid>, there while the suites run. Made first of all, so that a folder that cannot be
// written is known before any work is done; gone afterwards, with the report folder if that was made in vain.
class PartsFolder {
 public:
  explicit PartsFolder(const fs::path& reports)
      : parts_(reports / ".parts" / std::to_string(::getpid())), made_(parts_) {
    write_file_atomically(parts_ / "writable", "");
  }
  PartsFolder(const PartsFolder&) = delete;
  PartsFolder& operator=(const PartsFolder&) = delete;
  ~PartsFolder() {
    std::error_code ignored;
    fs::remove_all(parts_, ignored);
    fs::remove(parts_.parent_path(), ignored);  // unless another run's parts are there
  }
  fs::path part(const PhaseReport& phase) const {
    return parts_ / fmt::format("{}phase{}.json", phase.folder, phase.phase);
  }

 private:
  fs::path parts_;
  OutputDirectory made_;  // the report folder stays where reports were written
};

// The suites lie beside this program, and so does the folder of made models.
fs::path build_dir() {
  return fs::read_symlink("/proc/self/exe").parent_path();
}

fs::path suite_program(const PhaseReport& phase) {
  const fs::path program = build_dir() / fmt::format("phase{}_{}", phase.phase, phase.name);
  if (!fs::exists(program)) throw Error("is not built", program.string(), "./run_phases.sh builds it");
  return program;
}

std::string last_line(std::string text) {
  text.erase(text.find_last_not_of('\n') + 1);
  return text.substr(text.rfind('\n') + 1);  // npos + 1 is 0: the only line
}

// How the suite ended, in words; empty when it ended as suites do (its report says the rest).
std::string describe(const ChildEnding& ending) {
  std::string text;
  if (ending.signal != 0) {
    text = fmt::format("killed by signal {} (SIG{})", ending.signal, ::sigabbrev_np(ending.signal));
  } else if (ending.status != kExitPassed && ending.status != kExitFailed &&
             ending.status != kExitNothingJudged) {
    text = fmt::format("exit status {}", ending.status);
  }
  const std::string said = last_line(ending.errors);
  return text.empty() || said.empty() ? text : text + ", " + said;
}

// The exit status says that something is wrong, and the part must say so too.
std::string disagreement(const ChildEnding& ending, const PhaseReport& phase) {
  const int reported = exit_status(phase.counts());
  if (!phase.finished || ending.status == reported) return {};
  return fmt::format("its exit status is {}, its results say {}; {}", ending.status, reported,
                     last_line(ending.errors));
}

struct Interrupted {
  int signal;
};

// A suite refused its input; `line` is what it said, ready to be shown.
struct BadInput {
  std::string line;
};

// Throws BadInput, and Interrupted when a signal reached us.
PhaseReport run_suite(const RunOptions& options, const PhaseRun& run, const fs::path& part,
                      Progress& progress) {
  const auto command = suite_command(options, run, suite_program(run.asked), part);
  progress.begin_phase(run.asked);
  const ChildEnding ending = run_child(
      command, [&](std::string_view text) { progress.line(text); }, [&] { progress.tick(); });
  if (ending.interrupted_by != 0) throw Interrupted{ending.interrupted_by};
  if (ending.signal == 0 && ending.status == kExitBadInput) {
    throw BadInput{last_line(ending.errors)};
  }
  PhaseReport phase = read_part(part, run.asked, describe(ending));
  if (phase.error.empty()) phase.error = disagreement(ending, phase);
  phase.model = run.asked.model;
  phase.folder = run.asked.folder;
  phase.engine = run.asked.engine;
  phase.repeat_command = run.asked.repeat_command;
  phase.peak_bytes = ending.peak_bytes;
  progress.end_phase(phase);
  return phase;
}

RunReport run_all(const RunOptions& options, const std::vector<PhaseRun>& runs, const PartsFolder& parts) {
  RunReport report;
  if (options.engine == "cuda") report.skipped_reason = native::cuda_device_problem();
  if (!report.skipped_reason.empty()) return report;
  const Environment machine = machine_environment();
  Progress progress(::isatty(STDOUT_FILENO) == 1);
  for (const PhaseRun& run : runs) {
    report.phases.push_back(run_suite(options, run, parts.part(run.asked), progress));
    add_environment(machine, report.phases.back());
  }
  return report;
}

// LibTorch's threads wait for each other by spinning. Where another process wants the cores too, that makes
// small ops tens of times slower; asleep they cost nothing worth measuring. What the user has set stays.
void let_torch_threads_sleep() {
  ::setenv("OMP_WAIT_POLICY", "passive", 0);
}

int run_phases(const RunOptions& options) {
  hold_interrupts();
  let_torch_threads_sleep();
  const std::vector<PhaseRun> runs = plan(options, build_dir());
  for (const PhaseRun& run : runs) suite_program(run.asked);
  // Read first: it may be the very file that this run replaces.
  std::optional<RunReport> baseline;
  if (!options.baseline.empty()) baseline = read_report(options.baseline);
  const fs::path reports = report_dir(options);
  const PartsFolder parts(reports);
  RunReport report = run_all(options, runs, parts);
  if (baseline) report.changes = compare_to_baseline(*baseline, report, options.baseline);
  write_reports(report, reports);
  fmt::print("\n{}\nreports: {}\n", summary_table(report), (reports / "SUMMARY.md").string());
  if (std::fflush(stdout) != 0) throw Error("cannot be written", "standard output", "is the disk full?");
  return exit_status(report.counts());
}

}  // namespace
}  // namespace plumbline::cli

int main(int argc, char** argv) {
  plumbline::file_size_limit_is_an_error();
  plumbline::cli::RunOptions options;
  CLI::App app("Runs the phase suites and writes the reports.", "./run_phases.sh");
  plumbline::cli::declare(app, options);
  try {
    app.parse(argc, argv);
    return plumbline::cli::run_phases(options);
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    std::cerr << "plumbline: " << error.what() << " (see --help)\n";
    return plumbline::kExitBadInput;
  } catch (const plumbline::cli::Interrupted& interruption) {
    std::cerr << "\nplumbline: interrupted; the reports are as they were\n";
    return 128 + interruption.signal;
  } catch (const plumbline::cli::BadInput& refusal) {
    std::cerr << '\n' << refusal.line << '\n';
    return plumbline::kExitBadInput;
  } catch (const plumbline::Error& error) {
    std::cerr << "plumbline: " << error.what() << '\n';
    return plumbline::kExitBadInput;
  } catch (const std::exception& error) {
    std::cerr << "plumbline: " << error.what() << '\n';
    return plumbline::kExitFailed;
  }
}
