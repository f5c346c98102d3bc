// A trace: the tensors that a run recorded at its probes, step by step, in memory.
#pragma once

#include <cstdint>
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

struct Trace {
  TraceMetadata metadata;
  std::vector<TraceStep> steps;  // by sequence, then by step
  std::map<SequenceId, InitialCache> initial;
  bool empty() const;
};

// One step of a trace as the replayer reads it. The trace must outlive it.
class TraceStepView final : public RecordedStep {
 public:
  TraceStepView(const Trace& trace, std::size_t index);
  const GivenInputs* given() const override;
  const TensorView* find(OpSite site) const override;
  const TensorView* previous_key(int layer) const override;
  const TensorView* previous_value(int layer) const override;
  std::int64_t past_length() const override { return past_length_; }
  std::int64_t tokens() const override { return tokens_; }

 private:
  const TraceStep& step_;
  std::map<OpSite, TensorView> views_;
  std::map<int, TensorView> previous_key_;
  std::map<int, TensorView> previous_value_;
  std::int64_t past_length_ = 0;
  std::int64_t tokens_ = 0;
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

// A probe sink that copies what it sees to the host.
class TraceRecorder final : public ProbeSink {
 public:
  explicit TraceRecorder(Engine& engine, ProbeFilter filter = {});
  // Call before each forward(): opens one trace step per sequence.
  void begin(std::span<const SequenceStep> steps);
  Access access(const ProbeId& id) const override;
  void receive(const ProbeId& id, const TensorView& view) override;
  // The trace so far; the recorder is then empty.
  Trace take();

 private:
  Engine& engine_;
  ProbeFilter filter_;
  Trace trace_;
  std::map<SequenceId, std::size_t> open_;  // index in trace_.steps
  std::map<SequenceId, int> next_step_;
};

// Runs one prefill of `tokens` in a fresh cache, logits for all positions, and records it.
Trace record_prefill(Engine& engine, std::span<const TokenId> tokens, const ProbeFilter& filter = {});

// The same over a cache of this engine that may hold earlier tokens: positions count on from its length.
// `split` gives the lengths of consecutive forward calls, and sums to tokens.size().
Trace record_steps(Engine& engine, Cache& cache, std::span<const TokenId> tokens,
                   std::span<const std::int64_t> split, const ProbeFilter& filter = {});

}  // namespace plumbline
