// A trace: the tensors that a run recorded at its probes, step by step, in memory.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "harness/engine.h"
#include "harness/replay.h"

namespace plumbline {

struct TraceMetadata {
  int format_version = 1;
  std::string engine;  // empty in a foreign trace: unknown
  DType storage = DType::f32;
  DType compute = DType::f32;
  DeviceKind device = DeviceKind::cpu;
  std::string weight_hash;  // empty: unknown
  // That caches are kept in. None: unknown, taken from the first recorded one where that is a half type.
  std::optional<DType> cache;
  // None: unknown, and taken from the first tensor recorded; where none was, f32, the narrowest gates.
  Precision precision = {};
};

// Our own engines record every probe and give a forbidden place no weight at all; others may do less.
bool made_by_our_engine(const TraceMetadata& metadata);

// One forward call of one sequence; step 0 is the prefill.
struct TraceStep {
  SequenceId sequence = 0;
  int step = 0;
  std::map<OpSite, Tensor> tensors;
  std::optional<GivenInputs> given;  // known where we ran the engine ourselves
};

// The cache that a sequence started with, per layer: [past, kv_heads, head_dim] each.
struct InitialCache {
  std::map<int, Tensor> key;
  std::map<int, Tensor> value;
};

// How a sequence's cache forgets: its first `kept` tokens stay, and of the others the last `ring`. What a
// step has no room for goes before the step's own tokens come.
struct RingCache {
  std::int64_t kept = 0;
  std::int64_t ring = 0;
};

struct Trace {
  TraceMetadata metadata;
  std::vector<TraceStep> steps;  // by sequence, then by step
  std::map<SequenceId, InitialCache> initial;
  std::map<SequenceId, RingCache> rings;  // of the sequences whose caches forget
  bool empty() const;
};

// One step of a trace as the replayer reads it. The trace must outlive it.
class TraceStepView final : public RecordedStep {
 public:
  // Throws Error for a step of more tokens than its ring, and an initial cache that its ring cannot hold.
  TraceStepView(const Trace& trace, std::size_t index);
  const GivenInputs* given() const override;
  const TensorView* find(OpSite site) const override;
  const TensorView* previous_key(int layer) const override;
  const TensorView* previous_value(int layer) const override;
  std::int64_t past_length() const override { return past_length_; }
  std::int64_t tokens() const override { return tokens_; }
  ForgottenRows forgotten() const override { return forgotten_; }
  std::int64_t tokens_before() const override { return tokens_before_; }
  std::optional<DType> cache_dtype() const override { return cache_dtype_; }
  Precision precision() const override { return precision_; }

 private:
  void count_tokens(const Trace& trace);
  const TraceStep& step_;
  std::map<OpSite, TensorView> views_;
  std::map<int, TensorView> previous_key_;
  std::map<int, TensorView> previous_value_;
  std::int64_t past_length_ = 0;
  std::int64_t tokens_ = 0;
  ForgottenRows forgotten_;
  std::int64_t tokens_before_ = 0;
  std::optional<DType> cache_dtype_;
  Precision precision_;
};

// Which probes to record: shell patterns over site names ("model.layers.*.self_attn.*"); empty means all.
class ProbeFilter {
 public:
  ProbeFilter() = default;
  explicit ProbeFilter(std::vector<std::string> patterns) : patterns_(std::move(patterns)) {}
  bool matches(OpSite site) const;
  // Throws Error when a pattern matches no probe of a model with `layers` layers.
  void check(int layers) const;

 private:
  std::vector<std::string> patterns_;
};

// Takes a recorded tensor, on the host, for good: nothing keeps it.
using TakeRecorded = std::function<void(SequenceId sequence, int step, OpSite site, const TensorView& view)>;

// A probe sink that copies what it sees to the host.
class TraceRecorder final : public ProbeSink {
 public:
  // With `taken` the tensors go there, and the trace has steps without them.
  explicit TraceRecorder(Engine& engine, ProbeFilter filter = {}, TakeRecorded taken = {});
  // Call before each forward(): opens one trace step per sequence. With the cache that the call goes over,
  // its dtype is held against what is recorded, and what it is to forget is known: a step goes into the slots
  // for the prefill as long as it fits there whole, and is the first or has several tokens; then into the
  // others. Throws Error where slots for the prefill are in use that nobody saw fill.
  void begin(std::span<const SequenceStep> steps, const Cache* cache = nullptr);
  Access access(const ProbeId& id) const override;
  void receive(const ProbeId& id, const TensorView& view) override;
  // The trace so far; the recorder is then empty.
  Trace take();

 private:
  void follow_ring(const SequenceStep& step, const Cache& cache);

  Engine& engine_;
  ProbeFilter filter_;
  TakeRecorded taken_;
  Trace trace_;
  std::map<SequenceId, std::size_t> open_;  // index in trace_.steps
  std::map<SequenceId, int> next_step_;
  std::map<SequenceId, bool> ring_used_;  // by sequence of a ring: whether tokens are in it already
};

// Runs one prefill of `tokens` in a fresh cache, logits for all positions, and records it.
Trace record_prefill(Engine& engine, std::span<const TokenId> tokens, const ProbeFilter& filter = {});

// The same over a cache of this engine that may hold earlier tokens: positions count on from its length, or
// from `first_position`. `split` gives the lengths of consecutive forward calls, and sums to tokens.size().
// Throws Error where a ring may have forgotten earlier tokens and `first_position` is not given.
Trace record_steps(Engine& engine, Cache& cache, std::span<const TokenId> tokens,
                   std::span<const std::int64_t> split, const ProbeFilter& filter = {},
                   std::optional<std::int64_t> first_position = std::nullopt, TakeRecorded taken = {});

}  // namespace plumbline
