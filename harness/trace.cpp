#include "harness/trace.h"

#include <algorithm>
#include <numeric>

#include <fnmatch.h>

namespace plumbline {
namespace {

// Tokens of a step as one recorded tensor shows them; 0 where its shape does not.
std::int64_t tokens_shown(OpSite site, const Tensor& tensor) {
  const std::vector<Axis>& axes = probe_spec(site.probe).shape;
  for (std::size_t axis = 0; axis < axes.size(); ++axis) {
    if (axes[axis] == Axis::tokens && static_cast<int>(axis) < tensor.shape().rank()) {
      return tensor.shape()[static_cast<int>(axis)];
    }
  }
  return 0;
}

std::int64_t tokens_of(const TraceStep& step) {
  if (step.given) return static_cast<std::int64_t>(step.given->tokens.size());
  std::int64_t tokens = 0;
  for (const auto& [site, tensor] : step.tensors) tokens = std::max(tokens, tokens_shown(site, tensor));
  return tokens;
}

std::map<int, TensorView> views_of(const std::map<int, Tensor>& tensors) {
  std::map<int, TensorView> views;
  for (const auto& [layer, tensor] : tensors) views.emplace(layer, tensor.view());
  return views;
}

const TensorView* lookup(const std::map<int, TensorView>& views, int layer) {
  const auto found = views.find(layer);
  return found == views.end() ? nullptr : &found->second;
}

}  // namespace

bool made_by_our_engine(const TraceMetadata& metadata) {
  return metadata.engine == "reference" || metadata.engine.starts_with("native-");
}

bool Trace::empty() const {
  return std::all_of(steps.begin(), steps.end(), [](const TraceStep& step) { return step.tensors.empty(); });
}

TraceStepView::TraceStepView(const Trace& trace, std::size_t index) : step_(trace.steps.at(index)) {
  for (const auto& [site, tensor] : step_.tensors) views_.emplace(site, tensor.view());
  tokens_ = tokens_of(step_);

  if (const auto initial = trace.initial.find(step_.sequence); initial != trace.initial.end()) {
    previous_key_ = views_of(initial->second.key);
    previous_value_ = views_of(initial->second.value);
    if (!previous_key_.empty()) past_length_ = previous_key_.begin()->second.shape[0];
  }
  for (const TraceStep& earlier : trace.steps) {
    if (earlier.sequence != step_.sequence || earlier.step >= step_.step) continue;
    past_length_ += tokens_of(earlier);
    if (earlier.step + 1 != step_.step) continue;
    previous_key_.clear();
    previous_value_.clear();
    for (const auto& [site, tensor] : earlier.tensors) {
      if (site.probe == Probe::past_key) previous_key_.emplace(site.layer, tensor.view());
      if (site.probe == Probe::past_value) previous_value_.emplace(site.layer, tensor.view());
    }
  }
}

const GivenInputs* TraceStepView::given() const {
  return step_.given ? &*step_.given : nullptr;
}

const TensorView* TraceStepView::find(OpSite site) const {
  const auto found = views_.find(site);
  return found == views_.end() ? nullptr : &found->second;
}

const TensorView* TraceStepView::previous_key(int layer) const {
  return lookup(previous_key_, layer);
}
const TensorView* TraceStepView::previous_value(int layer) const {
  return lookup(previous_value_, layer);
}

bool ProbeFilter::matches(OpSite site) const {
  if (patterns_.empty()) return true;
  const std::string name = site_name(site);
  return std::any_of(patterns_.begin(), patterns_.end(), [&](const std::string& pattern) {
    return fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
  });
}

void ProbeFilter::check(int layers) const {
  std::vector<OpSite> sites = forward_sites(layers, false);
  const std::vector<OpSite> split = forward_sites(0, true);
  sites.insert(sites.end(), split.begin(), split.end());
  for (const std::string& pattern : patterns_) {
    const ProbeFilter one({pattern});
    if (std::none_of(sites.begin(), sites.end(), [&](OpSite site) { return one.matches(site); })) {
      throw Error("no probe matches '" + pattern + "'", "--probes", "docs/trace-format.md lists the names");
    }
  }
}

TraceRecorder::TraceRecorder(Engine& engine, ProbeFilter filter)
    : engine_(engine), filter_(std::move(filter)) {
  const EngineInfo& info = engine.info();
  trace_.metadata = {1, info.name, info.storage, info.compute, info.device.kind, engine.weight_hash()};
}

void TraceRecorder::begin(std::span<const SequenceStep> steps) {
  open_.clear();
  for (const SequenceStep& step : steps) {
    TraceStep record;
    record.sequence = step.sequence;
    record.step = next_step_[step.sequence]++;
    record.given =
        GivenInputs{{step.tokens.begin(), step.tokens.end()}, {step.positions.begin(), step.positions.end()}};
    open_[step.sequence] = trace_.steps.size();
    trace_.steps.push_back(std::move(record));
  }
}

ProbeSink::Access TraceRecorder::access(const ProbeId& id) const {
  return filter_.matches(id.site) ? Access::read : Access::none;
}

void TraceRecorder::receive(const ProbeId& id, const TensorView& view) {
  const auto open = open_.find(id.sequence);
  require(open != open_.end(), "a probe of a sequence that is not in this step: " + site_name(id.site));
  const bool added = trace_.steps[open->second].tensors.emplace(id.site, engine_.to_host(view)).second;
  require(added, "a probe was emitted twice in one step: " + site_name(id.site));
}

Trace TraceRecorder::take() {
  std::stable_sort(trace_.steps.begin(), trace_.steps.end(), [](const TraceStep& a, const TraceStep& b) {
    return std::pair(a.sequence, a.step) < std::pair(b.sequence, b.step);
  });
  open_.clear();
  next_step_.clear();
  Trace taken = std::move(trace_);
  trace_ = Trace{};
  trace_.metadata = taken.metadata;
  return taken;
}

Trace record_prefill(Engine& engine, std::span<const TokenId> tokens, const ProbeFilter& filter) {
  const auto length = static_cast<std::int64_t>(tokens.size());
  const std::unique_ptr<Cache> cache =
      engine.make_cache({CacheKind::concat, 1, length, engine.info().storage});
  return record_steps(engine, *cache, tokens, std::span(&length, 1), filter);
}

Trace record_steps(Engine& engine, Cache& cache, std::span<const TokenId> tokens,
                   std::span<const std::int64_t> split, const ProbeFilter& filter) {
  require(std::accumulate(split.begin(), split.end(), std::int64_t{0}) ==
              static_cast<std::int64_t>(tokens.size()),
          "record_steps: the split does not sum to the tokens");
  TraceRecorder recorder(engine, filter);
  const std::int64_t past = cache.length(0);
  InitialCache initial;
  for (int layer = 0; past > 0 && cache.holds_keys() && layer < engine.config().num_hidden_layers; ++layer) {
    initial.key[layer] = cache.read_key(layer, 0);
    initial.value[layer] = cache.read_value(layer, 0);
  }
  std::int64_t done = 0;
  for (const std::int64_t length : split) {
    std::vector<std::int64_t> positions(static_cast<std::size_t>(length));
    std::iota(positions.begin(), positions.end(), past + done);
    const SequenceStep step{0,
                            tokens.subspan(static_cast<std::size_t>(done), static_cast<std::size_t>(length)),
                            positions, LogitsWanted::all};
    recorder.begin(std::span(&step, 1));
    engine.forward(std::span(&step, 1), cache, recorder);
    done += length;
  }
  Trace trace = recorder.take();
  if (!initial.key.empty()) trace.initial[0] = std::move(initial);
  return trace;
}

}  // namespace plumbline
