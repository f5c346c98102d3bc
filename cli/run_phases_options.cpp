#include "cli/run_phases_options.h"

#include <algorithm>

#include <fmt/format.h>

#include "harness/error.h"
#include "harness/tolerance.h"
#include "impl/tokenizer.h"
#include "phases/support/cases.h"

namespace plumbline::cli {
namespace {

namespace fs = std::filesystem;
using phases::PhaseInfo;

// A checkpoint to run on; `folder` as in PhaseReport.
struct Model {
  std::string shown, folder;
  fs::path directory;
  std::string hint;  // where it is not there
};

// In single quotes where a shell would otherwise change it.
std::string shell_word(const std::string& word) {
  const bool plain = !word.empty() && word.find_first_not_of(
                                          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                          "0123456789_-+=./:,@%") == std::string::npos;
  if (plain) return word;
  std::string quoted = "'";
  for (const char c : word) {
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

// Without --report-dir: where a report lies changes nothing in it.
std::string repeat_command(const RunOptions& options, const Model& model, int phase) {
  std::string command = fmt::format("./run_phases.sh --phase {} --model {}", phase, shell_word(model.shown));
  if (options.engine != "cpu") command += " --engine " + options.engine;
  if (options.dtype != "f32") command += " --dtype " + options.dtype;
  if (options.threads > 0) command += fmt::format(" --threads {}", options.threads);
  if (!options.isa.empty()) command += " --isa " + shell_word(options.isa);
  if (options.quick) command += " --quick";
  return command;
}

void check_engine(const RunOptions& options) {
  if (options.engine != "cpu" && options.engine != "cuda") {
    throw Error(fmt::format("unknown engine '{}'", options.engine), "--engine", "cpu or cuda");
  }
  const bool known = options.dtype == "f32" || options.dtype == "bf16" || options.dtype == "f16";
  if (!known) throw Error(fmt::format("unknown dtype '{}'", options.dtype), "--dtype", "f32, bf16 or f16");
  if (options.dtype == "f16" && options.engine == "cuda") {
    throw Error("the cuda engine stores f32 and bf16 only", "--dtype");
  }
}

std::vector<Model> models(const RunOptions& options, const fs::path& build) {
  if (!options.model.empty()) {
    return {{options.model, "", options.model, "--model names a checkpoint's folder"}};
  }
  const fs::path slim = build / "models" / "slim";
  const fs::path shown = slim.lexically_relative(source_dir());
  const bool inside = !shown.empty() && *shown.begin() != "..";
  return {{"fixtures/models/tiny", "", source_dir() / "fixtures/models/tiny", "the checkout is not whole"},
          {inside ? shown.string() : slim.string(), "slim", slim,
           "./run_phases.sh makes it; --model names another checkpoint"}};
}

void check_model(const Model& model) {
  std::error_code problem;
  if (!fs::is_directory(model.directory, problem)) {
    throw Error("is no directory", model.directory.string(), model.hint);
  }
  // A suite reads the tokenizer when a case first needs it: a broken one is refused here, before all work.
  if (fs::exists(model.directory / "tokenizer.json", problem)) native::load_tokenizer(model.directory);
}

const PhaseInfo& phase_from(const std::string& text) {
  for (const PhaseInfo& phase : phases::all_phases()) {
    if (text == std::to_string(phase.number)) return phase;
  }
  throw Error(fmt::format("unknown phase '{}'", text), "--phase", "1 to 5");
}

PhaseRun run_of(const RunOptions& options, const Model& model, const PhaseInfo& phase) {
  PhaseRun run;
  run.model = model.directory;
  run.asked.phase = phase.number;
  run.asked.name = phase.name;
  run.asked.title = phase.title;
  run.asked.model = model.shown;
  run.asked.folder = model.folder;
  run.asked.engine = fmt::format("{}, {}", options.engine, options.dtype);
  run.asked.repeat_command = repeat_command(options, model, phase.number);
  for (const phases::CaseInfo& entry : phase.cases) {
    if (std::ranges::find(options.cases, entry.id) != options.cases.end()) run.cases.emplace_back(entry.id);
  }
  return run;
}

}  // namespace

fs::path source_dir() {
  return PLUMBLINE_SOURCE_DIR;
}

fs::path report_dir(const RunOptions& options) {
  return options.report_dir.empty() ? source_dir() / "reports" : fs::path(options.report_dir);
}

fs::path tolerances_file() {
  return source_dir() / "fixtures" / "tolerances.yaml";
}

std::vector<PhaseRun> plan(const RunOptions& options, const fs::path& build) {
  std::vector<int> wanted;
  for (const std::string& text : options.phases) wanted.push_back(phase_from(text).number);
  for (const std::string& id : options.cases) wanted.push_back(phases::phase_of_case(id).number);
  check_engine(options);
  const std::vector<Model> all_models = models(options, build);
  std::ranges::for_each(all_models, check_model);
  Tolerances::load(tolerances_file());

  std::vector<PhaseRun> runs;
  for (const Model& model : all_models) {
    for (const PhaseInfo& phase : phases::all_phases()) {
      const bool asked = wanted.empty() || std::ranges::find(wanted, phase.number) != wanted.end();
      if (asked) runs.push_back(run_of(options, model, phase));
    }
  }
  return runs;
}

std::vector<std::string> suite_command(const RunOptions& options, const PhaseRun& run,
                                       const fs::path& program, const fs::path& part) {
  std::vector<std::string> command{program.string(),
                                   "--model",
                                   fs::absolute(run.model).string(),
                                   "--engine",
                                   options.engine,
                                   "--dtype",
                                   options.dtype,
                                   "--threads",
                                   std::to_string(options.threads),
                                   "--tolerances",
                                   tolerances_file().string(),
                                   "--part",
                                   part.string()};
  if (!options.isa.empty()) command.insert(command.end(), {"--isa", options.isa});
  if (options.quick) command.push_back("--quick");
  for (const std::string& id : run.cases) command.insert(command.end(), {"--case", id});
  return command;
}

}  // namespace plumbline::cli
