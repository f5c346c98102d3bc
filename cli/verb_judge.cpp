#include <charconv>
#include <iostream>
#include <optional>

#include <fmt/format.h>

#include "cli/verbs.h"
#include "harness/evidence.h"
#include "harness/explain.h"
#include "harness/judge.h"
#include "harness/output_file.h"
#include "harness/report.h"
#include "harness/trace_file.h"
#include "reference/replay.h"

namespace plumbline::cli {
namespace {

struct Options {
  std::string trace, model, tolerances, report_dir, layers;
  bool force = false;
};

void parse_layers(const std::string& text, JudgeOptions& options) {
  if (text.empty()) return;
  const char* const end = text.data() + text.size();
  auto [stop, status] = std::from_chars(text.data(), end, options.first_layer);
  options.last_layer = options.first_layer;
  if (status == std::errc{} && stop != end && *stop == '-') {
    std::tie(stop, status) = [&] {
      const auto result = std::from_chars(stop + 1, end, options.last_layer);
      return std::pair(result.ptr, result.ec);
    }();
  }
  const bool ok = status == std::errc{} && stop == end && options.first_layer >= 0 &&
                  options.last_layer >= options.first_layer;
  if (!ok) throw Error("'" + text + "' is not a range of layers", "--layers", "as in 0-3, or 2");
}

// What a foreign trace leaves out is taken for granted, and said.
std::vector<std::string> assumptions(const Trace& trace) {
  const TraceMetadata& metadata = trace.metadata;
  std::vector<std::string> list;
  if (metadata.engine.empty()) list.push_back("the trace names no engine");
  if (metadata.weight_hash.empty())
    list.push_back("the trace has no weight hash: taken to be of this checkpoint");
  list.push_back(fmt::format("judged as {} storage on {}", dtype_name(metadata.storage),
                             device_name({metadata.device, 0})));
  if (const auto cache = TraceStepView(trace, 0).cache_dtype(); cache && !metadata.cache) {
    list.push_back(fmt::format("the trace declares no cache_dtype: caches are taken to be kept in {}",
                               dtype_name(*cache)));
  }
  list.push_back("token ids are taken as recorded: a lone trace does not say what was asked for");
  return list;
}

// The first wrong ops of the trace, each in the step where it has most rows.
std::vector<Evidence> seen_closely(const Trace& trace, const Judgement& judgement, const Replayer& replayer,
                                   const Tolerances& tolerances) {
  std::vector<Evidence> all;
  const Judgement* const one[] = {&judgement};
  for (const auto& [run, op] : ops_to_see_closely(one)) {
    for (std::size_t step = 0; step < trace.steps.size(); ++step) {
      if (trace.steps[step].sequence != op->sequence || trace.steps[step].step != op->step) continue;
      const std::string where = fmt::format("sequence {}, step {}", op->sequence, op->step);
      for (Evidence& seen : op_seen_closely(op->site, where, TraceStepView(trace, step), replayer, tolerances,
                                            trace.metadata.storage, trace.metadata.device)) {
        all.push_back(std::move(seen));
      }
    }
  }
  return all;
}

PhaseReport report_of(const Options& options, const Trace& trace, const Judgement& judgement,
                      const std::string& sentence, std::vector<Evidence> closely) {
  CaseReport all;
  all.id = "judge";
  all.title = "every op of the trace";
  all.checks = to_checks(judgement, "");
  if (Evidence suspects = suspects_of_wrong_ops(judgement); !suspects.rows.empty()) {
    all.evidence.push_back(std::move(suspects));
  }
  all.evidence.push_back(share_by_op(judgement));
  all.evidence.push_back(share_by_component(judgement));
  all.evidence.push_back(error_by_layer(judgement));
  for (Evidence& seen : closely) all.evidence.push_back(std::move(seen));
  PhaseReport report;
  report.name = "judge";
  report.title = "Judgement of " + std::filesystem::path(options.trace).filename().string();
  report.model = options.model;
  report.engine = trace.metadata.engine.empty() ? "unknown" : trace.metadata.engine;
  report.repeat_command = fmt::format("plumbline judge {} --model {}", options.trace, options.model);
  report.headline = sentence;
  report.assumptions = assumptions(trace);
  report.cases = {std::move(all)};
  report.finished = true;
  return report;
}

int run(const Options& options) {
  std::optional<OutputDirectory> directory;
  std::optional<OutputFile> page;  // opened before the work, so that one that cannot be written is known then
  if (!options.report_dir.empty()) {
    directory.emplace(options.report_dir);
    page.emplace(std::filesystem::path(options.report_dir) / "judge.md");
  }
  JudgeOptions judging;
  judging.require_all = false;  // a trace may leave probes out
  parse_layers(options.layers, judging);
  const Tolerances tolerances = Tolerances::load(options.tolerances);
  Trace trace = read_trace(options.trace);
  judging.our_engine = made_by_our_engine(trace.metadata);
  tolerances.require_complete(trace.metadata.storage, trace.metadata.device);
  const std::unique_ptr<Replayer> replayer = reference::make_replayer(options.model, trace.metadata.storage);
  if (judging.last_layer >= replayer->config().num_hidden_layers) {
    throw Error(fmt::format("the model has {} layers", replayer->config().num_hidden_layers), "--layers");
  }
  if (options.force) trace.metadata.weight_hash.clear();

  Judgement judgement = judge(trace, *replayer, tolerances, judging);
  Explainer(*replayer, tolerances, judging.our_engine).explain(trace, judgement);
  skip_trivial(judgement);
  const VerdictCounts counts = judgement.counts();
  const std::string sentence = headline(judgement);
  if (page) {
    page->write(phase_page(report_of(options, trace, judgement, sentence,
                                     seen_closely(trace, judgement, *replayer, tolerances))));
    page->keep();
  }
  if (!sentence.empty()) std::cout << sentence << '\n';
  for (const OpResult* op : judgement.wrong()) {
    std::cout << fmt::format("  {:<44} {} (share of gate {:.3g}) {}\n", site_name(op->site),
                             verdict_name(op->verdict), op->share, op->reason);
    if (const std::string suspect = verdict_of(op->suspects); !suspect.empty()) {
      std::cout << "    suspect: " << suspect << '\n';
    }
  }
  std::cout << counts.to_string() << '\n';
  for (const std::string& line : assumptions(trace)) std::cerr << "plumbline: " << line << '\n';
  return exit_status(counts);
}

}  // namespace

Verb add_judge(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  options->tolerances =
      (std::filesystem::path(PLUMBLINE_SOURCE_DIR) / "fixtures" / "tolerances.yaml").string();
  CLI::App* command = app.add_subcommand("judge", "Replay every op of a trace and name the first wrong one");
  command->footer(
      "Exit status: 0 all passed, 1 an op is wrong, 2 unreadable, 3 nothing judged.\n"
      "Example:\n  plumbline judge t.safetensors --model fixtures/models/tiny --report-dir reports");
  command->add_option("TRACE", options->trace, "A trace file")->required();
  command->add_option("--model", options->model, "The checkpoint that the engine ran")->required();
  command->add_option("--tolerances", options->tolerances, "Another tolerances.yaml");
  command->add_option("--report-dir", options->report_dir, "Write judge.md there");
  command->add_option("--layers", options->layers, "Judge these layers only, as in 0-3");
  command->add_flag("--force", options->force, "Judge even when the weight hash is another checkpoint's");
  return {command, [options] { return run(*options); }};
}

}  // namespace plumbline::cli
