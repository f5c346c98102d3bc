// plumbline-trial: puts the harness on trial and writes trial.md. Exit status 0 passed, 1 not, 2 bad usage.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <iostream>

#include <fmt/format.h>

#include "harness/report.h"
#include "impl/cuda/engine.h"
#include "tests/mutants/trial.h"

namespace plumbline::mutants {
namespace {

constexpr const char* kUsage =
    "usage: plumbline-trial [--part] [--clean N] [--half-clean N] [--seeds N] "
    "[--from-seed N] [--mutant NAME]\n"
    "                       [--engine cpu|cuda] [--tolerances FILE] [--report-dir DIR]\n"
    "  --part         some of the clean runs and seeds, of the half types bf16 "
    "alone: what CI runs; writes no\n"
    "                 page unless asked to\n"
    "  --clean N      clean runs of correct engines (1000)\n"
    "  --half-clean N clean runs in each half type: of the third forward with "
    "one rounding per op, with one at\n"
    "                 each operation, and of the native engine (300)\n"
    "  --seeds N      seeds of each named probe (100)\n"
    "  --from-seed N  first seed of the clean runs (1)\n"
    "  --mutant-seeds N  seeds of each mutant's weights (5)\n"
    "  --mutant NAME  this mutant alone, in f32 and the half types, and "
    "nothing else; may be repeated\n"
    "  --engine       the native engine in the clean runs and under the loops (cpu); cuda needs a device\n"
    "  --tolerances   another file than fixtures/tolerances.yaml: to see the "
    "trial fail\n"
    "  --report-dir   where trial.md goes (reports)\n";

struct Options {
  bool part = false;
  int clean = 1000, half_clean = 300, seeds = 100, from_seed = 1, mutant_seeds = 5;
  std::vector<std::string> mutants;
  std::string report_dir = "reports";
  std::string tolerances;  // empty: the project's
  DeviceKind device = DeviceKind::cpu;
};

int number(const std::string& option, const std::string& text) {
  int value = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool ok = status == std::errc{} && end == text.data() + text.size() && value >= 1 && value <= 1000000;
  if (!ok) throw Error("'" + text + "' is no number from 1 to 1000000", option);
  return value;
}

Options parse(const std::vector<std::string>& arguments) {
  Options options;
  if (std::find(arguments.begin(), arguments.end(), "--part") != arguments.end()) {
    options.part = true;
    options.clean = 40;
    options.half_clean = 8;
    options.seeds = 20;
    options.mutant_seeds = 1;
    options.report_dir.clear();
  }
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& option = arguments[i];
    if (option == "--part") continue;
    if (i + 1 == arguments.size())
      throw Error("unknown, or its value is missing", option, "--help lists the options");
    const std::string& value = arguments[++i];
    if (option == "--clean") {
      options.clean = number(option, value);
    } else if (option == "--half-clean") {
      options.half_clean = number(option, value);
    } else if (option == "--seeds") {
      options.seeds = number(option, value);
    } else if (option == "--from-seed") {
      options.from_seed = number(option, value);
    } else if (option == "--mutant-seeds") {
      options.mutant_seeds = number(option, value);
    } else if (option == "--mutant") {
      options.mutants.push_back(value);
    } else if (option == "--tolerances") {
      options.tolerances = value;
    } else if (option == "--engine") {
      if (value != "cpu" && value != "cuda")
        throw Error("unknown engine '" + value + "'", option, "cpu or cuda");
      options.device = value == "cuda" ? DeviceKind::cuda : DeviceKind::cpu;
    } else if (option == "--report-dir") {
      options.report_dir = value;
    } else {
      throw Error("unknown option", option, "--help lists them");
    }
  }
  return options;
}

void progress(const std::string& what) {
  std::cerr << "trial: " << what << '\n';
}

void print_mutant(const MutantResult& m, const Format& format) {
  std::cout << fmt::format("{:<52} {}: {}, {}: {} ({}); {}\n", m.mutation->name, format.name(),
                           m.changed ? "changes" : "changes nothing", m.killed ? "killed" : "survives",
                           m.first_wrong, m.blamed_right ? "right op" : "not the op alone",
                           m.suspects.empty() ? "no suspects" : "explain: " + m.suspects);
  if (!m.blamed_right) std::cout << "    wrong: " << m.wrong_ops << '\n';
}

std::string command_of(const Options& options) {
  const std::string engine = options.device == DeviceKind::cuda ? " --engine cuda" : "";
  if (options.part) return "build/plumbline-trial --part" + engine;
  std::string command = "./run_tests.sh --trial" + engine;
  if (options.clean != 1000) command += fmt::format(" --clean {}", options.clean);
  if (options.half_clean != 300) command += fmt::format(" --half-clean {}", options.half_clean);
  if (options.seeds != 100) command += fmt::format(" --seeds {}", options.seeds);
  if (options.mutant_seeds != 5) command += fmt::format(" --mutant-seeds {}", options.mutant_seeds);
  if (options.from_seed != 1) command += fmt::format(" --from-seed {}", options.from_seed);
  return command;
}

// Those on trial beside f32.
std::vector<Format> half_formats(bool part) {
  std::vector<Format> formats{{DType::bf16, Rounding::once}, {DType::bf16, Rounding::each}};
  if (!part) formats.insert(formats.end(), {{DType::f16, Rounding::once}, {DType::f16, Rounding::each}});
  return formats;
}

HalfReport hold_half(const Options& options, const Tolerances& tolerances, const Format& format) {
  HalfReport half;
  half.format = format;
  progress(format.name() + ": mutants");
  half.mutants = try_mutants(tolerances, {}, options.mutant_seeds, format);
  half.equivalents = try_equivalents(format);
  if (!options.part) half.false_suspects = try_suspects_on_right_ops(tolerances, format);
  progress(fmt::format("{}: {} clean runs", format.name(), options.half_clean));
  half.clean = try_clean_runs(tolerances, options.half_clean, static_cast<unsigned>(options.from_seed),
                              format, options.device);
  return half;
}

TrialReport hold(const Options& options, const Tolerances& tolerances) {
  const auto start = std::chrono::steady_clock::now();
  TrialReport report;
  progress("mutants");
  report.mutant_seeds = options.mutant_seeds;
  report.mutants = try_mutants(tolerances, {}, options.mutant_seeds);
  report.equivalents = try_equivalents();
  report.false_suspects = try_suspects_on_right_ops(tolerances);
  progress(fmt::format("{} clean runs", options.clean));
  CleanRuns clean =
      try_clean_runs(tolerances, options.clean, static_cast<unsigned>(options.from_seed), {}, options.device);
  report.clean = std::move(clean.subjects);
  report.shares = std::move(clean.ops);
  for (const Format& format : half_formats(options.part)) {
    report.halves.push_back(hold_half(options, tolerances, format));
  }
  progress("detection floors");
  report.floors = find_floors(tolerances, options.part ? 2 : 20, !options.part);
  progress(fmt::format("named probes, {} seeds each", options.seeds));
  report.probes = try_probes(tolerances, options.seeds, !options.part);
  progress("sampling mutants");
  report.sampling = try_sampling(tolerances);
  progress("loop mutants");
  report.loop = try_loop(std::filesystem::path(PLUMBLINE_SOURCE_DIR) / "fixtures", options.device);
  progress("tokenizer mutants");
  report.tokens = try_tokens(std::filesystem::path(PLUMBLINE_SOURCE_DIR) / "fixtures");
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

// The mutants asked for, in every format that has them.
int try_named(const Options& options, const Tolerances& tolerances) {
  std::vector<Format> formats{{}};
  for (const Format& format : half_formats(false)) formats.push_back(format);
  bool ok = true, found = false;
  for (const Format& format : formats) {
    for (const MutantResult& m : try_mutants(tolerances, options.mutants, options.mutant_seeds, format)) {
      print_mutant(m, format);
      ok = ok && m.changed && m.killed && m.blamed_right;
      found = true;
    }
  }
  if (!found) throw Error("no mutant has such a name", "--mutant", "reports/trial.md lists them");
  return ok ? kExitPassed : kExitFailed;
}

int run(const std::vector<std::string>& arguments) {
  const Options options = parse(arguments);
  const std::filesystem::path ours =
      std::filesystem::path(PLUMBLINE_SOURCE_DIR) / "fixtures" / "tolerances.yaml";
  const Tolerances tolerances =
      Tolerances::load(options.tolerances.empty() ? ours : std::filesystem::path(options.tolerances));
  tolerances.require_complete(DType::f32, DeviceKind::cpu);
  for (const Format& format : half_formats(false)) {
    tolerances.require_complete(format.storage(), DeviceKind::cpu);
  }
  if (options.device == DeviceKind::cuda) {
    if (const std::string problem = native::cuda_device_problem(); !problem.empty()) {
      throw Error("no usable CUDA device: " + problem, "--engine cuda");
    }
    tolerances.require_complete(DType::f32, DeviceKind::cuda);
    tolerances.require_complete(DType::bf16, DeviceKind::cuda);
  }
  if (!options.mutants.empty()) return try_named(options, tolerances);
  const TrialReport report = hold(options, tolerances);
  const Complaints complaints = complaints_of(report);
  if (!options.report_dir.empty()) {
    std::filesystem::create_directories(options.report_dir);
    const std::filesystem::path path = std::filesystem::path(options.report_dir) / "trial.md";
    write_file_atomically(path, trial_page(report, command_of(options)));
    std::cout << path.string() << '\n';
  }
  for (const std::string& line : complaints) std::cout << line << '\n';
  std::cout << trial_line(report) << '\n';
  for (const HalfReport& half : report.halves) std::cout << half_line(half) << '\n';
  return complaints.empty() ? kExitPassed : kExitFailed;
}

}  // namespace
}  // namespace plumbline::mutants

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments == std::vector<std::string>{"--help"} || arguments == std::vector<std::string>{"-h"}) {
    std::cout << plumbline::mutants::kUsage;
    return plumbline::kExitPassed;
  }
  try {
    return plumbline::mutants::run(arguments);
  } catch (const plumbline::Error& error) {
    std::cerr << "plumbline-trial: " << error.what() << '\n';
    return plumbline::kExitBadInput;
  } catch (const std::exception& error) {
    std::cerr << "plumbline-trial: " << error.what() << '\n';
    return plumbline::kExitFailed;
  }
}
