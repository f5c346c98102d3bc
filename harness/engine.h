// The engine interface: what an inference engine must offer to be run and judged. Decided once for CPU, CUDA,
// half types, ragged batches and every kind of cache.
//
// An engine owns its weights and activations. The harness hands it steps, a cache that this engine made, and
// a probe sink; it gets logits back. Nothing here is copied or synchronised behind the caller's back.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "harness/model.h"
#include "harness/precision.h"
#include "harness/probe.h"
#include "harness/tensor.h"

namespace plumbline {

using SequenceId = std::int32_t;  // names a sequence in a cache; 0 .. CacheSpec::max_sequences - 1

enum class LogitsWanted : std::uint8_t { none, last, all };

// The new tokens of one sequence. Several steps in one call form a ragged batch: no padding, no batch axis.
struct SequenceStep {
  SequenceId sequence = 0;
  std::span<const TokenId> tokens;          // at least one
  std::span<const std::int64_t> positions;  // one per token; position_ids of rope
  LogitsWanted logits = LogitsWanted::last;
};

enum class CacheKind : std::uint8_t { concat, fixed };

// How one layer's keys lie in memory; its values likewise.
enum class CacheLayout : std::uint8_t {
  sequence_heads,  // [batch, sequence, kv_heads, head_dim]
  heads_sequence,  // [batch, kv_heads, sequence, head_dim]
  sequence_flat,   // [batch, sequence, kv_heads * head_dim]
};

// Where a layer's keys and values lie to each other.
enum class CachePacking : std::uint8_t {
  separate,      // two buffers
  interleaved,   // one buffer; each token's (or head's) keys, then its values
  concatenated,  // one buffer; a sequence's keys, then its values
};

// What a fixed cache does with a token for which there is no room.
enum class WhenFull : std::uint8_t {
  error,
  ring,  // the oldest token that was not part of the prefill is forgotten
};

// A field that the engine cannot honour is refused, never ignored.
struct CacheSpec {
  CacheKind kind = CacheKind::concat;
  std::int64_t max_sequences = 1;
  std::int64_t capacity = 0;  // tokens per sequence; needed by `fixed`, 0 means "grows" for `concat`
  DType dtype = DType::f32;   // storage; an engine refuses what it does not store
  CacheLayout layout = CacheLayout::sequence_heads;
  CachePacking packing = CachePacking::separate;
  // `fixed`: how many of the capacity's slots are a buffer of their own for the prefill; 0: one buffer.
  std::int64_t prefill_capacity = 0;
  WhenFull when_full = WhenFull::error;  // `ring` is for `fixed`
};

// Made by an engine, for that engine. The harness only reads it back and manages its length.
class Cache {
 public:
  virtual ~Cache() = default;
  virtual const CacheSpec& spec() const = 0;
  virtual std::int64_t length(SequenceId sequence) const = 0;  // tokens held
  // False for a cache that keeps something else than keys and values (the reference's is its token history):
  // read_key and read_value then throw InternalError.
  virtual bool holds_keys() const { return true; }
  // Host copies in logical order without free slots, [length, kv_heads, head_dim].
  virtual Tensor read_key(int layer, SequenceId sequence) const = 0;
  virtual Tensor read_value(int layer, SequenceId sequence) const = 0;
  virtual std::int64_t bytes() const = 0;  // allocated
  virtual void clear(SequenceId sequence) = 0;
  // Forgets all tokens from `length` on. Throws Error when length is negative or beyond the present one.
  virtual void crop(SequenceId sequence, std::int64_t length) = 0;
  // Makes `to` an independent copy of `from`.
  virtual void fork(SequenceId from, SequenceId to) = 0;
  // Forgets the tokens with indices [begin, end); those after them move down, and stay what they are: their
  // positions are the old ones, and they have attended to what is gone. Throws Error for a range that is not
  // within the length, and where the cache cannot do it.
  virtual void evict(SequenceId sequence, std::int64_t begin, std::int64_t end);
};

struct ProbeId {
  OpSite site;
  SequenceId sequence = 0;
};

// Receives tensors as the engine computes them. A view is valid only during the call and may be on a device:
// copy it with Engine::to_host. Engines ask access() first and do nothing more where it says `none`.
class ProbeSink {
 public:
  enum class Access : std::uint8_t { none, read, write };
  virtual ~ProbeSink() = default;
  virtual Access access(const ProbeId& id) const = 0;
  virtual void receive(const ProbeId& id, const TensorView& view) = 0;
  // Called instead of receive() where access() says `write`: what is left in the view is what the engine goes
  // on with (interventions, exact inputs for inner ops). The view is on the host, wherever the engine
  // computes.
  virtual void modify(const ProbeId& id, const MutableTensorView& view);
};

// Wants nothing.
class NullSink final : public ProbeSink {
 public:
  Access access(const ProbeId&) const override { return Access::none; }
  void receive(const ProbeId&, const TensorView&) override {}
};

// f32 logits (f64 for an f64 engine), one entry per step in call order: [0 | 1 | tokens, vocab_size]. The
// views live until the engine's next forward() call, and may be on its device.
struct Logits {
  std::vector<TensorView> steps;
};

struct EngineInfo {
  std::string name;  // "native-cpu", "reference", …
  Device device;
  DType storage = DType::f32;  // dtype of weights and activations as stored
  DType compute = DType::f32;
  std::string isa;  // instruction set in use: "avx512", "avx2", "scalar", "sm_90", "libtorch"
  int threads = 1;
  Precision precision = {};  // where it rounds otherwise than once to storage
  // Whether every output has the same bits whole or in chunks, cached or not. False: from run to run and
  // beside others alone.
  bool one_order = true;
};

class Sampler;  // harness/sampling.h

class Engine {
 public:
  virtual ~Engine() = default;
  virtual const EngineInfo& info() const = 0;
  virtual const ModelConfig& config() const = 0;
  // Of the checkpoint's tensors as they lie in its files (harness/weight_hash.h); computed at the first call.
  virtual const std::string& weight_hash() const = 0;

  // Throws Error for a capacity the engine cannot hold, a dtype it does not store, or too many sequences.
  virtual std::unique_ptr<Cache> make_cache(const CacheSpec& spec) const = 0;

  // Runs the steps, appends their keys and values to the cache, and returns the logits asked for. Throws
  // Error for an empty step, token ids outside the vocabulary, a sequence named twice or unknown to the
  // cache, a cache of another engine, positions that do not match the tokens or are negative, or capacity
  // exceeded; the cache is then as it was.
  virtual Logits forward(std::span<const SequenceStep> steps, Cache& cache, ProbeSink& sink) = 0;

  // A sampler that draws from logits where forward() leaves them, on the engine's device; it takes those on
  // the host too. Null where that is the host. The engine must outlive it. `seed`: of its own stream.
  virtual std::shared_ptr<Sampler> device_sampler(std::uint64_t seed) const;

  // Waits for the device and copies; a plain copy for host views.
  virtual Tensor to_host(const TensorView& view) = 0;
  virtual void synchronize() = 0;
};

}  // namespace plumbline
