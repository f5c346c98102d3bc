#include "phases/support/long_prompt.h"

#include <algorithm>
#include <numeric>
#include <set>

#include <fmt/format.h>

namespace plumbline::phases {
namespace {

constexpr double kMostBytes = 1 << 30;  // of one trace
constexpr OpSite kLogits{Probe::lm_head, -1};

bool left_out(Probe probe) {
  return probe == Probe::scores || probe == Probe::probs;
}

// What one layer's probes hold for a prompt: [tokens, …] in f32, without scores and probs.
double layer_bytes(const ModelConfig& config, std::size_t tokens) {
  const auto query = static_cast<double>(config.num_attention_heads * config.head_dim);
  const auto key_value = static_cast<double>(config.num_key_value_heads * config.head_dim);
  const double floats = 6.0 * static_cast<double>(config.hidden_size) + 3 * query + 5 * key_value +
                        3.0 * static_cast<double>(config.intermediate_size);
  return 4 * floats * static_cast<double>(tokens);
}

std::set<int> layers_to_judge(const ModelConfig& config, std::size_t tokens) {
  const int layers = static_cast<int>(config.num_hidden_layers);
  if (layers * layer_bytes(config, tokens) <= kMostBytes) {
    std::set<int> all;
    for (int layer = 0; layer < layers; ++layer) all.insert(layer);
    return all;
  }
  return {0, layers / 2, layers - 1};
}

// The residual stream stays throughout: it is what the next layer reads.
ProbeFilter probes_of(const std::set<int>& layers) {
  std::vector<std::string> names;
  for (const OpSite site : replayer().sites()) {
    const bool chosen = site.layer < 0 || layers.contains(site.layer) || site.probe == Probe::mlp_residual;
    if (chosen && !left_out(site.probe)) names.push_back(site_name(site));
  }
  return ProbeFilter(names);
}

Trace record_with_last_logits(Engine& engine, const std::vector<TokenId>& tokens, const ProbeFilter& filter) {
  const auto length = static_cast<std::int64_t>(tokens.size());
  const std::unique_ptr<Cache> cache =
      engine.make_cache({CacheKind::concat, 1, length, engine.info().storage});
  std::vector<std::int64_t> positions(tokens.size());
  std::iota(positions.begin(), positions.end(), 0);
  const SequenceStep step{0, tokens, positions, LogitsWanted::last};
  TraceRecorder recorder(engine, filter);
  recorder.begin(std::span(&step, 1), cache.get());
  engine.forward(std::span(&step, 1), *cache, recorder);
  return recorder.take();
}

void skip(OpResult& op, std::string reason) {
  if (op.verdict != Verdict::untested) return;  // what was recorded all the same has its verdict
  op.verdict = Verdict::skipped;
  op.reason = std::move(reason);
}

// What was left out on purpose is skipped. Scores and probs only where their span was judged: else they stay
// untested, which fails.
void skip_left_out(Judgement& judgement, const std::set<int>& layers) {
  std::set<int> fused;
  for (const OpResult& op : judgement.ops) {
    const bool judged = op.verdict == Verdict::passed || op.verdict == Verdict::failed;
    if (op.judged_as == OpClass::fused_attention && judged) fused.insert(op.site.layer);
  }
  for (OpResult& op : judgement.ops) {
    if (op.site.layer >= 0 && !layers.contains(op.site.layer)) {
      skip(op, "not judged at this length: layers of " + fmt::format("{}", fmt::join(layers, ", ")) +
                   " stand for all");
    } else if (left_out(op.site.probe) && fused.contains(op.site.layer)) {
      skip(op, fmt::format("not recorded above {} tokens: judged within the context, as fused attention",
                           kJudgedWhole));
    }
  }
}

struct Tally {
  int judged = 0, all = 0, fused = 0;
};

Tally tally_of(const Judgement& judgement, OpClass op_class) {
  Tally tally;
  for (const OpResult& op : judgement.ops) {
    if (probe_spec(op.site.probe).op != op_class) continue;
    ++tally.all;
    if (op.verdict == Verdict::skipped || op.verdict == Verdict::untested) continue;
    ++tally.judged;
    tally.fused += op.judged_as == OpClass::fused_attention ? 1 : 0;
  }
  return tally;
}

bool is_in_span(OpClass op) {
  return op == OpClass::scores || op == OpClass::softmax;
}

// spans: how many ops of this class stand within a fused span that was judged
std::string cell(const Tally& tally, int spans) {
  std::string text = fmt::format("{} of {}", tally.judged, tally.all);
  if (tally.fused > 0) text += ", as fused_attention";
  if (spans > 0) text += fmt::format(", {} within fused_attention", spans);
  return text;
}

// All forward classes, in the order of the table; fused_attention stands beside context.
std::vector<OpClass> classes() {
  std::vector<OpClass> list;
  for (const OpSite site : replayer().sites()) {
    const OpClass op = probe_spec(site.probe).op;
    if (std::find(list.begin(), list.end(), op) == list.end()) list.push_back(op);
  }
  std::ranges::sort(list);
  return list;
}

}  // namespace

JudgedPrompt judged_in_spans(const Prompt& prompt) {
  const std::set<int> layers = layers_to_judge(subject().config(), prompt.ids.size());
  JudgedPrompt run{prompt, record_with_last_logits(subject(), prompt.ids, probes_of(layers)), {}, {}};
  JudgeOptions judging;
  if (goldens()) {
    run.truth = record_with_last_logits(truth(), prompt.ids, ProbeFilter({"*mlp_residual", "lm_head"}));
    judging.truth = &run.truth;
  }
  run.judgement = judge(run.subject, replayer(), tolerances(), judging);
  skip_left_out(run.judgement, layers);
  std::erase_if(run.subject.steps.at(0).tensors, [](const auto& tensor) { return tensor.first != kLogits; });
  return run;
}

void JudgedLengths::add(const JudgedPrompt& run) {
  names_.push_back(run.prompt.name);
  std::vector<std::string>& column = columns_.emplace_back();
  const int spans = tally_of(run.judgement, OpClass::context).fused;
  for (const OpClass op : classes()) {
    column.push_back(cell(tally_of(run.judgement, op), is_in_span(op) ? spans : 0));
  }
  column.push_back(std::to_string(run.subject.steps.at(0).tensors.at(kLogits).shape()[0]));
  column.push_back(run.truth.steps.empty() ? "no" : "yes");
}

Evidence JudgedLengths::table() const {
  Evidence table{"which ops were judged at which length", {"op"}, {}};
  std::vector<std::string> names;
  for (const OpClass op : classes()) names.emplace_back(op_class_name(op));
  names.emplace_back("rows of logits");
  names.emplace_back("final logits held against truth's own run");
  table.header.insert(table.header.end(), names_.begin(), names_.end());
  for (std::size_t row = 0; row < names.size(); ++row) {
    table.rows.push_back({names[row]});
    for (const std::vector<std::string>& column : columns_) table.rows.back().push_back(column[row]);
  }
  return table;
}

}  // namespace plumbline::phases
