// Key and value caches of the native engines: one that grows by concatenation, one of a fixed capacity, in
// any layout, packing and floating dtype of CacheSpec, in the host's memory or a device's. Who holds one need
// not know which it is.
//
// A forward pass is a transaction: begin() says how many tokens each sequence gains, append() gives a layer's
// new keys and values and shows the whole sequence, commit() makes the new lengths count. Without a commit
// the cache is as it was before begin(). An engine whose kernels write to the cache themselves asks
// pending_room() for the place instead, and pending_runs() for the whole sequence.
//
// Tokens can be forgotten from the oldest on (a ring) or anywhere (evict). Then a token's index in the cache
// and its position differ: the index is the cache's, and what masks and sums count; the positions are the
// caller's.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <vector>

#include "harness/engine.h"
#include "impl/cache/memory.h"

namespace plumbline::native {

struct CacheGrowth {
  SequenceId sequence = 0;
  std::int64_t tokens = 0;
};

class NativeCache : public Cache {
 public:
  // `engine` identifies the engine that made it.
  NativeCache(const CacheSpec& spec, const CacheShape& shape, std::uint64_t engine,
              std::shared_ptr<CacheMemory> memory);

  const CacheSpec& spec() const final { return spec_; }
  std::int64_t length(SequenceId sequence) const final;
  // In the dtype of the spec. Throws Error for an unknown layer; not to be called during a transaction.
  Tensor read_key(int layer, SequenceId sequence) const final;
  Tensor read_value(int layer, SequenceId sequence) const final;  // the same
  void clear(SequenceId sequence) final { crop(sequence, 0); }
  void crop(SequenceId sequence, std::int64_t length) final;
  void fork(SequenceId from, SequenceId to) final;
  // Refused where a layer has a sliding window.
  void evict(SequenceId sequence, std::int64_t begin, std::int64_t end) final;

  std::uint64_t engine() const { return engine_; }
  const CacheShape& shape() const { return shape_; }

  // One step of all layers. `keys` and `values`: [layers, tokens, kv_heads, head_dim]. Throws Error for
  // another number of elements, when there is no room, and (write_prefill) for a sequence that is not empty.
  void write_prefill(SequenceId sequence, std::span<const float> keys, std::span<const float> values);
  void update(SequenceId sequence, std::span<const float> keys, std::span<const float> values);
  // The tokens held, good until the next call that is not const. On the host: from other memory, a copy.
  CacheSlice view(int layer, SequenceId sequence);

  // How many of the tokens held would remain when `tokens` more come: all of them, but for a full ring.
  // Throws Error for a sequence the cache does not have, or when there is no room.
  std::int64_t past_of(SequenceId sequence, std::int64_t tokens) const;
  // Throws as past_of does; nothing has changed then.
  void begin(std::span<const CacheGrowth> growth);
  // `keys` and `values`: [tokens, kv_heads, head_dim] of the new tokens. The slice has the past and them; it
  // is good until the next append().
  CacheSlice append(int layer, SequenceId sequence, const float* keys, const float* values);
  // What append() gave, as it is now.
  CacheSlice pending(int layer, SequenceId sequence);
  // In place of append(): where the new tokens of (layer, sequence) go, to be asked exactly once in a
  // transaction, before whatever writes there; and then all its tokens, the new ones among them. In the dtype
  // of the spec, in the cache's memory; the places stay until the end of the transaction.
  RunList<StoredRun> pending_room(int layer, SequenceId sequence);
  RunList<StoredRun> pending_runs(int layer, SequenceId sequence) const;
  // A copy, [length, kv_heads, head_dim] in the dtype of the spec; and the way back. Tokens that were there
  // at begin() are written too, until a rollback.
  Tensor read_pending(int layer, SequenceId sequence, CachePart part) const;
  void replace_pending(int layer, SequenceId sequence, CachePart part, const Tensor& rows);
  void commit();
  void rollback();
  // Writes `value` into every slot that holds no token. For tests: it must change nothing.
  virtual void fill_free_slots(float value) = 0;

 protected:
  using Runs = RunList<StoredRun>;
  CacheMemory& memory() const { return *memory_; }
  RunFormat format() const { return {spec_.dtype, shape_.kv_heads, shape_.head_dim}; }
  // The open transaction's.
  std::span<const CacheGrowth> growth() const { return growth_; }
  std::int64_t growth_of(SequenceId sequence) const;

  // What is asked of the storage. How many tokens must go before `tokens` more come; throws Error for no
  // room.
  virtual std::int64_t forgotten(SequenceId sequence, std::int64_t tokens) const = 0;
  virtual void open(std::span<const CacheGrowth> growth) = 0;
  // Where the open transaction's new tokens go.
  virtual Runs room(int layer, SequenceId sequence) = 0;
  // Tokens held; with those of the open transaction, or as it was before.
  virtual Runs runs(int layer, SequenceId sequence, bool with_new) const = 0;
  virtual void preserve(int layer, SequenceId sequence) = 0;  // all of `runs`, for discard()
  virtual void publish() = 0;                                 // commit
  virtual void discard() = 0;                                 // rollback
  virtual void forget(SequenceId sequence, std::int64_t begin, std::int64_t end) = 0;
  virtual void copy(SequenceId from, SequenceId to) = 0;

 private:
  void check_sequence(SequenceId sequence) const;
  void check_layer(int layer) const;
  Tensor read(const Runs& runs, CachePart part) const;
  CacheSlice slice(const Runs& runs);
  void write(int layer, SequenceId sequence, const float* keys, const float* values);
  // `rows` as the cache keeps them; good until the next call.
  const std::byte* stored(const float* rows, std::int64_t count);
  std::int64_t& length_of(SequenceId sequence) { return lengths_[static_cast<std::size_t>(sequence)]; }

  CacheSpec spec_;
  CacheShape shape_;
  std::uint64_t engine_;
  std::shared_ptr<CacheMemory> memory_;
  std::vector<std::int64_t> lengths_;  // by sequence
  std::vector<CacheGrowth> growth_;    // of the open transaction
  bool open_ = false;
  std::vector<std::byte> narrow_;  // new rows in the storage dtype
  std::vector<float> wide_[2];     // keys, values: what slices of a half dtype show
};

// Throws Error for what the fields of the spec say and no cache can do together, a dtype that is not floating
// or is f64, and more than there is of the memory.
std::unique_ptr<NativeCache> make_native_cache(const CacheSpec& spec, const CacheShape& shape,
                                               std::uint64_t engine,
                                               std::shared_ptr<CacheMemory> memory = host_memory());

// Rolls back unless committed.
class CacheTransaction {
 public:
  CacheTransaction(NativeCache& cache, std::span<const CacheGrowth> growth) : cache_(&cache) {
    cache.begin(growth);
  }
  // A rollback fails only with the device that holds the cache, and then something else has said so.
  ~CacheTransaction() {
    try {
      if (cache_ != nullptr) cache_->rollback();
    } catch (const std::exception&) {
    }
  }
  CacheTransaction(const CacheTransaction&) = delete;
  CacheTransaction& operator=(const CacheTransaction&) = delete;
  void commit() {
    cache_->commit();
    cache_ = nullptr;
  }

 private:
  NativeCache* cache_;
};

}  // namespace plumbline::native
