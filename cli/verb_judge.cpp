#include <malloc.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>
#include <set>
#include <thread>
#include <tuple>

#include <fmt/format.h>

#include "cli/common.h"
#include "cli/judge_output.h"
#include "cli/judge_split.h"
#include "cli/verbs.h"
#include "harness/evidence.h"
#include "harness/explain.h"
#include "harness/judge.h"
#include "harness/judge_part.h"
#include "harness/output_file.h"
#include "harness/trace_file.h"
#include "harness/weight_hash.h"
#include "reference/replay.h"

namespace plumbline::cli {
namespace {

constexpr int kMostThreads = 1024;
constexpr std::int64_t kStreamBytes = std::int64_t{5} << 30;  // of --stream, as far as threads go

struct Options {
  std::string trace, model, tolerances, report_dir, layers, part;
  bool force = false, stream = false;
  int threads = 0, rank = 0, ranks = 0;
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
std::vector<std::string> assumptions(const Trace& trace, const Tolerances& tolerances) {
  const TraceMetadata& metadata = trace.metadata;
  std::vector<std::string> list;
  if (metadata.engine.empty()) list.push_back("the trace names no engine");
  if (metadata.weight_hash.empty())
    list.push_back("the trace has no weight hash: taken to be of this checkpoint");
  list.push_back(fmt::format("judged as {} storage on {}", dtype_name(metadata.storage),
                             device_name({metadata.device, 0})));
  const std::string unmeasured = tolerances.unmeasured(metadata.storage, metadata.device);
  if (!unmeasured.empty()) list.push_back(unmeasured);
  if (metadata.storage == DType::bf16 || metadata.storage == DType::f16) {
    const Precision kept = TraceStepView(trace, 0).precision();
    const auto name = [&](Probe probe) { return dtype_name(kept_in(probe, metadata.storage, kept)); };
    list.push_back(
        fmt::format("judged as rounding {}, with cos and sin kept in {}, scores in {}, probs in {}",
                    rounding_name(kept.rounding), name(Probe::cos), name(Probe::scores), name(Probe::probs)));
  }
  if (const auto cache = TraceStepView(trace, 0).cache_dtype(); cache && !metadata.cache) {
    list.push_back(fmt::format("the trace declares no cache_dtype: caches are taken to be kept in {}",
                               dtype_name(*cache)));
  }
  list.push_back("token ids are taken as recorded: a lone trace does not say what was asked for");
  return list;
}

std::string where_of(const OpResult& op) {
  return fmt::format("sequence {}, step {}", op.sequence, op.step);
}

std::vector<Evidence> seen_closely(const OpResult& op, const Trace& trace, const Replayer& replayer,
                                   const Tolerances& tolerances) {
  for (std::size_t step = 0; step < trace.steps.size(); ++step) {
    if (trace.steps[step].sequence != op.sequence || trace.steps[step].step != op.step) continue;
    return op_seen_closely(op.site, where_of(op), TraceStepView(trace, step), replayer, tolerances,
                           trace.metadata.storage, trace.metadata.device);
  }
  return {};
}

void choose_layers(const Options& options, const ModelConfig& config, JudgeOptions& judging) {
  if (options.ranks > 0) {
    std::tie(judging.first_layer, judging.last_layer) = layers_of_rank(config, options.rank, options.ranks);
  }
  const auto layers = static_cast<int>(config.num_hidden_layers);
  if (judging.last_layer >= layers) {
    throw Error(fmt::format("the model has {} layers", layers), "--layers");
  }
}

int cores() {
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

std::int64_t longest_step(const Trace& trace) {
  std::int64_t tokens = 0;
  for (std::size_t step = 0; step < trace.steps.size(); ++step) {
    tokens = std::max(tokens, TraceStepView(trace, step).tokens());
  }
  return tokens;
}

// Replays come and go in areas of megabytes. What is left at the heap's end serves the next one: given back
// to the system and asked for anew, it is nearly half of the page faults of a rank that has lm_head.
void keep_heap_end() {
#ifdef M_TRIM_THRESHOLD
  constexpr int kKept = 64 << 20;  // bytes, at most
  ::mallopt(M_TRIM_THRESHOLD, kKept);
#endif
}

// Judges, and keeps what is found: the page, the part, or both.
class Session {
 public:
  Session(const Options& options, Trace trace, Tolerances tolerances)
      : options_(options), trace_(std::move(trace)), tolerances_(std::move(tolerances)) {
    parse_layers(options.layers, judging_);
    judging_.require_all = false;  // a trace may leave probes out
    judging_.our_engine = made_by_our_engine(trace_.metadata);
    judging_.threads = options.threads;
    tolerances_.require_complete(trace_.metadata.storage, trace_.metadata.device);
    const reference::Hold hold = options.stream ? reference::Hold::one_layer : reference::Hold::all;
    replayer_ = reference::make_replayer(options.model, trace_.metadata.storage, hold);
    choose_layers(options, replayer_->config(), judging_);
    if (options.stream) {
      const int most = reference::replays_within(replayer_->config(), longest_step(trace_), kStreamBytes);
      judging_.threads = std::min(options.threads > 0 ? options.threads : cores(), most);
    }
    if (options.force) trace_.metadata.weight_hash.clear();
  }

  void judge() {
    judged_ = {
        options_.trace, options_.model, trace_.metadata.engine, assumptions(trace_, tolerances_), {}, {}, {}};
    judged_.judgement = plumbline::judge(trace_, *replayer_, tolerances_, judging_);
    const SuspectTrial trial(trace_, *replayer_, tolerances_, judging_.our_engine);
    const bool for_part = !options_.part.empty();
    explain_in_order(judged_.judgement, [&](const OpResult& op, const std::set<std::string>& names) {
      asked_.push_back(trial.ask(op, names, for_part));
      return asked_.back();
    });
  }

  JudgePart part() const {
    JudgePart part;
    part.trace = options_.trace;
    part.model = options_.model;
    part.tolerances = options_.tolerances;
    part.trace_identity = identity_of_file(options_.trace);
    part.weight_hash = replayer_->weight_hash();
    part.tolerances_hash = sha256_of_file(options_.tolerances);
    part.forced = options_.force;
    part.engine = trace_.metadata.engine;
    part.assumptions = judged_.assumptions;
    part.layers = static_cast<int>(replayer_->config().num_hidden_layers);
    part.masks_differ = std::ranges::any_of(
        replayer_->sites(), [](OpSite site) { return site.probe == Probe::attention_mask_full; });
    part.first_layer = judging_.first_layer;
    part.last_layer = judging_.last_layer < 0 ? part.layers - 1 : judging_.last_layer;
    for (const TraceStep& step : trace_.steps) part.steps.emplace_back(step.sequence, step.step);
    part.judgement = judged_.judgement;
    part.asked = asked_;
    for (const OpResult* op : candidates_to_see_closely(judged_.judgement)) {
      part.closely.push_back(
          {op->site, op->sequence, op->step, seen_closely(*op, trace_, *replayer_, tolerances_)});
    }
    return part;
  }

  // Afterwards the judgement is as a reader sees it.
  const Judged& finished(bool with_tables) {
    skip_trivial(judged_.judgement);
    const Judgement* const one[] = {&judged_.judgement};
    for (const auto& [run, op] : ops_to_see_closely(one)) {
      if (!with_tables) break;
      for (Evidence& seen : seen_closely(*op, trace_, *replayer_, tolerances_)) {
        judged_.closely.push_back(std::move(seen));
      }
    }
    return judged_;
  }

 private:
  const Options& options_;
  Trace trace_;
  const Tolerances tolerances_;
  JudgeOptions judging_;
  std::unique_ptr<Replayer> replayer_;
  Judged judged_;
  std::vector<Asked> asked_;
};

int run(const Options& options) {
  if (options.stream) {
    give_memory_back();
    keep_heap_end();
  }
  std::optional<OutputDirectory> directory;
  std::optional<OutputFile> page, part;  // opened before the work: one that cannot be written is known then
  if (!options.report_dir.empty()) {
    directory.emplace(options.report_dir);
    page.emplace(std::filesystem::path(options.report_dir) / "judge.md");
  }
  if (!options.part.empty()) part.emplace(options.part);
  Tolerances tolerances = Tolerances::load(options.tolerances);
  Session session(options, options.stream ? map_trace(options.trace) : read_trace(options.trace),
                  std::move(tolerances));
  session.judge();
  if (part) part->write(to_json(session.part()));
  const Judged& judged = session.finished(page.has_value());
  if (page) page->write(judgement_page(judged));
  if (part) part->keep();
  if (page) page->keep();
  return tell(judged);
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
  command->add_option("--layers", options->layers,
                      "Judge these layers only, as in 0-3; what comes before the layers with the first, "
                      "what comes after them with the last");
  CLI::Option* layers = command->get_option("--layers");
  CLI::Option* rank =
      command->add_option("--rank", options->rank, "Judge this rank's share of the layers, 0 to ranks - 1");
  CLI::Option* ranks = command->add_option("--ranks", options->ranks, "Of so many ranks")
                           ->excludes(layers)
                           ->check(CLI::PositiveNumber);
  rank->needs(ranks)->excludes(layers);
  ranks->needs(rank);
  command->add_option("--part", options->part, "Write what was judged there, for plumbline merge");
  command->add_flag("--stream", options->stream,
                    "Hold one layer of weights and of the trace at a time, with the same results");
  command->add_option("--threads", options->threads, "Ops judged at a time; 0: one for each core")
      ->capture_default_str()
      ->check(CLI::Range(0, kMostThreads));
  command->add_flag("--force", options->force, "Judge even when the weight hash is another checkpoint's");
  return {command, [options] { return run(*options); }};
}

}  // namespace plumbline::cli
