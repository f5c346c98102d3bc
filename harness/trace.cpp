#include "harness/trace.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>
#include <fnmatch.h>

namespace plumbline {

bool made_by_our_engine(const TraceMetadata& metadata) {
  return metadata.engine == "reference" || metadata.engine.starts_with("native-");
}

bool Trace::empty() const {
  return std::all_of(steps.begin(), steps.end(), [](const TraceStep& step) { return step.tensors.empty(); });
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

TraceRecorder::TraceRecorder(Engine& engine, ProbeFilter filter, TakeRecorded taken)
    : engine_(engine), filter_(std::move(filter)), taken_(std::move(taken)) {
  const EngineInfo& info = engine.info();
  trace_.metadata = {1,
                     info.name,
                     info.storage,
                     info.compute,
                     info.device.kind,
                     engine.weight_hash(),
                     std::nullopt,
                     info.precision};
  // Said, so that nobody need guess from what was recorded.
  Precision& kept = trace_.metadata.precision;
  kept.rotary = kept_in(Probe::cos, info.storage, info.precision);
  kept.scores = kept_in(Probe::scores, info.storage, info.precision);
  kept.probs = kept_in(Probe::probs, info.storage, info.precision);
}

void TraceRecorder::follow_ring(const SequenceStep& step, const Cache& cache) {
  const CacheSpec& spec = cache.spec();
  if (spec.kind != CacheKind::fixed || spec.when_full != WhenFull::ring) return;
  const auto [place, is_new] =
      trace_.rings.try_emplace(step.sequence, RingCache{0, spec.capacity - spec.prefill_capacity});
  const std::int64_t held = cache.length(step.sequence);
  if (is_new && held > 0 && spec.prefill_capacity > 0) {
    throw Error(fmt::format("cannot tell which of {} tokens a ring with slots for a prefill keeps", held),
                "trace", "record from the empty cache on");
  }
  std::int64_t& kept = place->second.kept;
  bool& used = ring_used_[step.sequence];
  if (is_new) used = held > 0;
  const auto tokens = static_cast<std::int64_t>(step.tokens.size());
  const bool prefill = !used && (tokens > 1 || kept == 0) && kept + tokens <= spec.prefill_capacity;
  if (prefill) kept += tokens;
  used = used || !prefill;
}

void TraceRecorder::begin(std::span<const SequenceStep> steps, const Cache* cache) {
  open_.clear();
  if (cache != nullptr && cache->holds_keys()) trace_.metadata.cache = cache->spec().dtype;
  for (const SequenceStep& step : steps) {
    if (cache != nullptr && cache->holds_keys()) follow_ring(step, *cache);
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
  TraceStep& step = trace_.steps[open->second];
  if (taken_) return taken_(step.sequence, step.step, id.site, engine_.to_host(view).view());
  const bool added = step.tensors.emplace(id.site, engine_.to_host(view)).second;
  require(added, "a probe was emitted twice in one step: " + site_name(id.site));
}

Trace TraceRecorder::take() {
  std::stable_sort(trace_.steps.begin(), trace_.steps.end(), [](const TraceStep& a, const TraceStep& b) {
    return std::pair(a.sequence, a.step) < std::pair(b.sequence, b.step);
  });
  open_.clear();
  next_step_.clear();
  ring_used_.clear();
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

// Nobody sees logits that are not recorded, and over a real vocabulary they are most of a step's work.
static LogitsWanted wanted_by(const ProbeFilter& filter) {
  return filter.matches({Probe::lm_head, -1}) ? LogitsWanted::all : LogitsWanted::none;
}

Trace record_steps(Engine& engine, Cache& cache, std::span<const TokenId> tokens,
                   std::span<const std::int64_t> split, const ProbeFilter& filter,
                   std::optional<std::int64_t> first_position, TakeRecorded taken) {
  require(std::accumulate(split.begin(), split.end(), std::int64_t{0}) ==
              static_cast<std::int64_t>(tokens.size()),
          "record_steps: the split does not sum to the tokens");
  TraceRecorder recorder(engine, filter, std::move(taken));
  const LogitsWanted wanted = wanted_by(filter);
  const std::int64_t past = cache.length(0);
  if (past > 0 && cache.spec().when_full == WhenFull::ring && !first_position) {
    throw Error("positions cannot be counted from a ring's length: it forgets", "trace",
                "give the first token's position");
  }
  InitialCache initial;
  for (int layer = 0; past > 0 && cache.holds_keys() && layer < engine.config().num_hidden_layers; ++layer) {
    initial.key[layer] = cache.read_key(layer, 0);
    initial.value[layer] = cache.read_value(layer, 0);
  }
  std::int64_t done = 0;
  for (const std::int64_t length : split) {
    std::vector<std::int64_t> positions(static_cast<std::size_t>(length));
    std::iota(positions.begin(), positions.end(), first_position.value_or(past) + done);
    const SequenceStep step{0,
                            tokens.subspan(static_cast<std::size_t>(done), static_cast<std::size_t>(length)),
                            positions, wanted};
    recorder.begin(std::span(&step, 1), &cache);
    engine.forward(std::span(&step, 1), cache, recorder);
    done += length;
  }
  Trace trace = recorder.take();
  if (!initial.key.empty()) trace.initial[0] = std::move(initial);
  return trace;
}

}  // namespace plumbline
