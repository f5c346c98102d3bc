#include <algorithm>
#include <iostream>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "cli/common.h"
#include "cli/judge_output.h"
#include "cli/verbs.h"
#include "harness/evidence.h"
#include "harness/judge_part.h"
#include "harness/output_file.h"
#include "harness/trace_file.h"
#include "harness/weight_hash.h"
#include "reference/replay.h"

namespace plumbline::cli {
namespace {

struct Options {
  std::vector<std::string> parts;
  std::string report_dir;
};

// The trace and the model of the parts, opened when something is asked that no part has asked: a suspect that
// fitted in another part, say.
class Whole {
 public:
  explicit Whole(const JudgePart& part) : part_(part) {}

  Asked ask(const OpResult& op, const std::set<std::string>& names) {
    open();
    return trial_->ask(op, names);
  }

 private:
  void open() {
    if (trial_) return;
    if (identity_of_file(part_.trace) != part_.trace_identity)
      throw Error("is not what the parts judged", part_.trace);
    if (sha256_of_file(part_.tolerances) != part_.tolerances_hash) {
      throw Error("is not what the parts judged by", part_.tolerances);
    }
    trace_ = map_trace(part_.trace);
    tolerances_ = Tolerances::load(part_.tolerances);
    replayer_ = reference::make_replayer(part_.model, trace_.metadata.storage, reference::Hold::one_layer);
    if (replayer_->weight_hash() != part_.weight_hash)
      throw Error("is not what the parts judged", part_.model);
    trial_.emplace(trace_, *replayer_, *tolerances_, made_by_our_engine(trace_.metadata));
  }

  const JudgePart& part_;
  Trace trace_;
  std::optional<Tolerances> tolerances_;
  std::unique_ptr<Replayer> replayer_;
  std::optional<SuspectTrial> trial_;
};

// In a whole without gaps all of them are in a part.
std::vector<Evidence> seen_closely(const JudgePart& whole, const Judgement& judgement) {
  std::vector<Evidence> all;
  const Judgement* const one[] = {&judgement};
  for (const auto& [run, op] : ops_to_see_closely(one)) {
    for (const SeenClosely& seen : whole.closely) {
      const bool same = seen.site == op->site && seen.sequence == op->sequence && seen.step == op->step;
      if (same) all.insert(all.end(), seen.tables.begin(), seen.tables.end());
    }
  }
  return all;
}

int run(const Options& options) {
  std::optional<OutputDirectory> directory;
  std::optional<OutputFile> page;
  if (!options.report_dir.empty()) {
    directory.emplace(options.report_dir);
    page.emplace(std::filesystem::path(options.report_dir) / "judge.md");
  }
  std::vector<JudgePart> parts;
  for (const std::string& path : options.parts) parts.push_back(part_from_json(read_file(path), path));
  const JoinedParts joined = join_parts(std::move(parts), options.parts);
  const JudgePart& part = joined.whole;

  Judged judged{part.trace, part.model, part.engine, part.assumptions, part.judgement, {}, joined.missing};
  Whole whole(part);
  const std::string trouble = explain_joined(
      part, judged.judgement,
      [&](const OpResult& op, const std::set<std::string>& names) { return whole.ask(op, names); });
  if (!trouble.empty()) {
    judged.assumptions.push_back("some known mistakes were not tried on the whole, but on the parts alone: " +
                                 trouble);
  }
  skip_trivial(judged.judgement);
  judged.closely = seen_closely(part, judged.judgement);
  if (page) {
    page->write(judgement_page(judged));
    page->keep();
  }
  return tell(judged);
}

}  // namespace

Verb add_merge(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("merge", "Join the parts of a judgement that several have made");
  command->footer(
      "Exit status: as judge would have of the whole; 1 where layers are in no part, 2 for parts of "
      "different\n"
      "judgements.\n"
      "Example:\n  plumbline merge part.0.json part.1.json --report-dir reports");
  command->add_option("PART", options->parts, "What judge --part wrote")->required();
  command->add_option("--report-dir", options->report_dir, "Write judge.md there");
  return {command, [options] { return run(*options); }};
}

}  // namespace plumbline::cli
