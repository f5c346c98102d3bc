#include "harness/judge.h"

#include <algorithm>
#include <deque>

#include <fmt/format.h>

#include "harness/parallel.h"
#include "harness/stacked_rows.h"
#include "harness/tolerance_row.h"

namespace plumbline {
namespace {

constexpr std::int64_t kStackedRows = 256;  // of one replay: their logits must fit into memory

// What a judgement is made with.
struct Court {
  const Replayer& replayer;
  const Tolerances& tolerances;
  DType storage;
  DeviceKind device;
  const JudgeOptions& options;
  Verdict absent() const { return options.require_all ? Verdict::untested : Verdict::skipped; }
};

OpResult opened(OpSite site, const RecordedStep& step, const Court& court) {
  OpResult result;
  result.site = site;
  result.judged_as = court.replayer.judged_as(site, step);
  return result;
}

// Whether there is something to compare; where not, `result` says why.
bool recorded_right(const TensorView* actual, const RecordedStep& step, const Court& court,
                    OpResult& result) {
  if (actual == nullptr) {
    result.verdict = court.absent();
    result.reason = "not recorded";
    return false;
  }
  if (const DType dtype = kept_dtype(result.site, step, court.storage); actual->dtype != dtype) {
    result.verdict = Verdict::failed;
    result.reason = fmt::format("dtype {} where {} is right", dtype_name(actual->dtype), dtype_name(dtype));
    return false;
  }
  return true;
}

// What a replay gave: an answer, or in words why there is none.
struct Outcome {
  std::optional<Replay> replay;
  std::string why;    // no replay, or the assumption behind one
  std::string error;  // a recorded input cannot be
};

Outcome replayed(OpSite site, const RecordedStep& step, const Court& court) {
  Outcome outcome;
  try {
    outcome.replay = court.replayer.replay(site, step, court.storage, outcome.why);
  } catch (const Error& error) {
    outcome.error = error.what();
  }
  return outcome;
}

void compare(const TensorView& actual, const Outcome& outcome, const RecordedStep& step, const Court& court,
             OpResult& result) {
  if (!outcome.replay) {
    result.verdict = outcome.error.empty() ? court.absent() : Verdict::failed;
    result.reason = outcome.error.empty() ? outcome.why : outcome.error;
    return;
  }
  const OpClass op = result.judged_as;
  const OpSite site = result.site;
  const Tolerance& tolerance = tolerance_of(site, op, step, court.storage, court.device, court.tolerances);
  const char* forbidden = court.options.our_engine ? "forbidden_weight" : "forbidden_weight_others";
  result = compare_op(actual, *outcome.replay, tolerance, op, court.tolerances.gate(forbidden));
  result.site = site;
  // Ids that nobody gave are compared with themselves.
  result.trivial = result.trivial || (op == OpClass::token_ids && step.given() == nullptr);
  if (result.reason.empty()) result.reason = outcome.why;
}

OpResult judge_one(OpSite site, const RecordedStep& step, const Court& court) {
  OpResult result = opened(site, step, court);
  const TensorView* actual = step.find(site);
  if (recorded_right(actual, step, court, result)) {
    compare(*actual, replayed(site, step, court), step, court, result);
  }
  return result;
}

// Rows [begin, end) of a replay of stacked steps.
Outcome part_of(const Outcome& whole, std::int64_t begin, std::int64_t end) {
  if (!whole.replay) return whole;
  const Replay& replay = *whole.replay;
  require(replay.allowed.empty() && replay.roundings.empty() && replay.emulated.empty(),
          "judge: a stacked op has a mask or roundings");
  Outcome part{Replay{}, whole.why, {}};
  part.replay->expected = copy_host(replay.expected.view().rows(begin, end));
  if (!replay.bound.empty()) part.replay->bound = copy_host(replay.bound.view().rows(begin, end));
  part.replay->trivial = replay.trivial;
  if (!replay.distinct_row.empty()) {
    part.replay->distinct_row.assign(replay.distinct_row.begin() + begin, replay.distinct_row.begin() + end);
  }
  return part;
}

// One op in several steps that can be replayed as one.
std::vector<OpResult> judge_stacked(OpSite site, const std::vector<const RecordedStep*>& steps,
                                    const Court& court) {
  const Outcome whole = replayed(site, StackedRows(site, steps), court);
  std::vector<OpResult> results;
  std::int64_t begin = 0;
  for (const RecordedStep* step : steps) {
    OpResult result = opened(site, *step, court);
    const TensorView& actual = *step->find(site);
    const std::int64_t end = begin + actual.shape[0];
    if (recorded_right(&actual, *step, court, result)) {
      compare(actual, part_of(whole, begin, end), *step, court, result);
    }
    results.push_back(std::move(result));
    begin = end;
  }
  return results;
}

// An op in one step, or in some that are replayed together.
struct Piece {
  OpSite site;
  std::vector<std::size_t> steps;
};

std::vector<Piece> pieces_of(OpSite site, const std::deque<TraceStepView>& steps) {
  std::vector<Piece> pieces;
  std::int64_t rows = 0;  // of the last piece; 0 where nothing may be added to it
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const std::int64_t more = stackable_rows(site, steps[i]);
    const bool joins = rows > 0 && more > 0 && rows + more <= kStackedRows &&
                       stack_together(site, steps[pieces.back().steps[0]], steps[i]);
    if (!joins) pieces.push_back({site, {}});
    pieces.back().steps.push_back(i);
    rows = joins ? rows + more : more;
  }
  return pieces;
}

void check_belongs(const Trace& subject, const Replayer& replayer) {
  const TraceMetadata& metadata = subject.metadata;
  if (!metadata.weight_hash.empty() && metadata.weight_hash != replayer.weight_hash()) {
    throw Error(fmt::format("recorded on other weights (hash {}…, the model's is {}…)",
                            metadata.weight_hash.substr(0, 12), replayer.weight_hash().substr(0, 12)),
                "trace", "is --model the checkpoint that the engine ran?");
  }
  for (const TraceStep& step : subject.steps) {
    for (const auto& [site, tensor] : step.tensors) {
      if (site.layer >= replayer.config().num_hidden_layers) {
        throw Error(fmt::format("the model has {} layers", replayer.config().num_hidden_layers),
                    site_name(site), "is --model the checkpoint that the engine ran?");
      }
    }
  }
}

std::vector<OpSite> chosen_sites(const Replayer& replayer, const JudgeOptions& options) {
  std::vector<OpSite> sites;
  const int layers = static_cast<int>(replayer.config().num_hidden_layers);
  const int last = options.last_layer < 0 ? std::max(layers - 1, 0) : options.last_layer;
  for (const OpSite site : replayer.sites()) {
    const int layer = judged_with_layer(site, layers);
    if (layer >= options.first_layer && layer <= last) sites.push_back(site);
  }
  return sites;
}

}  // namespace

int judged_with_layer(OpSite site, int layers) {
  if (site.layer >= 0) return site.layer;
  return site < OpSite{Probe::input_layernorm, 0} ? 0 : std::max(layers - 1, 0);
}

VerdictCounts Judgement::counts() const {
  VerdictCounts counts;
  for (const OpResult& op : ops) counts.add(op.verdict);
  return counts;
}

std::vector<const OpResult*> Judgement::wrong() const {
  std::vector<const OpResult*> list;
  for (const OpResult& op : ops) {
    if (op.verdict != Verdict::passed && op.verdict != Verdict::skipped) list.push_back(&op);
  }
  return list;
}

OpResult judge_op(OpSite site, const RecordedStep& step, const Replayer& replayer,
                  const Tolerances& tolerances, DType storage, DeviceKind device,
                  const JudgeOptions& options) {
  return judge_one(site, step, {replayer, tolerances, storage, device, options});
}

Judgement judge(const Trace& subject, const Replayer& replayer, const Tolerances& tolerances,
                const JudgeOptions& options) {
  check_belongs(subject, replayer);
  const Court court{replayer, tolerances, subject.metadata.storage, subject.metadata.device, options};
  std::deque<TraceStepView> steps, truth_steps;
  for (std::size_t i = 0; i < subject.steps.size(); ++i) steps.emplace_back(subject, i);
  const std::size_t known = options.truth == nullptr ? 0 : options.truth->steps.size();
  for (std::size_t i = 0; i < std::min(known, steps.size()); ++i) truth_steps.emplace_back(*options.truth, i);

  const std::vector<OpSite> sites = chosen_sites(replayer, options);
  std::vector<Piece> pieces;
  std::vector<std::size_t> place;  // of each piece's site
  // The last op first: it is the largest.
  for (std::size_t s = sites.size(); s-- > 0;) {
    for (Piece& piece : pieces_of(sites[s], steps)) {
      pieces.push_back(std::move(piece));
      place.push_back(s);
    }
  }
  Judgement judgement;
  judgement.ops.resize(sites.size() * steps.size());
  const auto finish = [&](OpResult result, std::size_t step, std::size_t s) {
    result.sequence = subject.steps[step].sequence;
    result.step = subject.steps[step].step;
    const TensorView* actual = steps[step].find(result.site);
    const TensorView* right = step < truth_steps.size() ? truth_steps[step].find(result.site) : nullptr;
    // Scores may hold anything where the mask forbids: their accumulated error shows in probs.
    const bool comparable = actual != nullptr && right != nullptr && actual->shape == right->shape;
    if (comparable && result.site.probe != Probe::scores) {
      result.accumulated = measure_error(*actual, *right);
    }
    judgement.ops[step * sites.size() + s] = std::move(result);
    // What reads it was judged before it, the last op being the first.
    const auto& recorded = subject.steps[step].tensors;
    if (const auto at = recorded.find(sites[s]); at != recorded.end()) at->second.unload();
  };
  parallel_for(pieces.size(), options.threads, [&](std::size_t i) {
    const Piece& piece = pieces[i];
    if (piece.steps.size() == 1) {
      return finish(judge_one(piece.site, steps[piece.steps[0]], court), piece.steps[0], place[i]);
    }
    std::vector<const RecordedStep*> together;
    for (const std::size_t step : piece.steps) together.push_back(&steps[step]);
    std::vector<OpResult> results = judge_stacked(piece.site, together, court);
    for (std::size_t k = 0; k < results.size(); ++k) finish(std::move(results[k]), piece.steps[k], place[i]);
  });
  return judgement;
}

}  // namespace plumbline
