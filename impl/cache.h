// Key and value caches of the native CPU engine: one that grows by concatenation, one of a fixed capacity.
//
// A forward pass is a transaction: begin() says how many tokens each sequence gains, append() gives a layer's
// new keys and values and shows the whole sequence, commit() makes the new lengths count. Without a commit
// the cache is as it was before begin().
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "harness/engine.h"

namespace plumbline::native {

struct CacheShape {
  int layers = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t row() const { return kv_heads * head_dim; }
};

struct CacheGrowth {
  SequenceId sequence = 0;
  std::int64_t tokens = 0;
};

// One layer of one sequence, new tokens included.
struct CacheSlice {
  float* keys = nullptr;    // [length, kv_heads, head_dim], contiguous
  float* values = nullptr;  // the same
  std::int64_t length = 0;
};

class NativeCache : public Cache {
 public:
  // `engine` identifies the engine that made it.
  NativeCache(const CacheSpec& spec, const CacheShape& shape, std::uint64_t engine);

  const CacheSpec& spec() const final { return spec_; }
  std::int64_t length(SequenceId sequence) const final;
  Tensor read_key(int layer, SequenceId sequence) const final;    // throws Error for an unknown layer
  Tensor read_value(int layer, SequenceId sequence) const final;  // the same
  void clear(SequenceId sequence) final { crop(sequence, 0); }
  void crop(SequenceId sequence, std::int64_t length) final;
  void fork(SequenceId from, SequenceId to) final;

  std::uint64_t engine() const { return engine_; }
  const CacheShape& shape() const { return shape_; }

  // Throws Error for a sequence the cache does not have, or when its capacity does not suffice; nothing has
  // changed then.
  void begin(std::span<const CacheGrowth> growth);
  // `keys` and `values`: [tokens, kv_heads, head_dim] of the new tokens. The slice is good until commit().
  virtual CacheSlice append(int layer, SequenceId sequence, const float* keys, const float* values) = 0;
  // To be called before the tokens that were there at begin() are overwritten through a slice.
  virtual void preserve(int layer, SequenceId sequence) = 0;
  void commit();
  void rollback();

 protected:
  // Committed tokens of one layer; keys and values may be null when there are none.
  virtual CacheSlice committed(int layer, SequenceId sequence) const = 0;
  virtual void resize(SequenceId sequence, std::int64_t length) = 0;
  virtual void copy(SequenceId from, SequenceId to) = 0;
  virtual void publish() = 0;  // commit, for the storage
  virtual void discard() = 0;  // rollback, for the storage
  std::int64_t growth_of(SequenceId sequence) const;

 private:
  void check_sequence(SequenceId sequence) const;
  Tensor read(int layer, SequenceId sequence, bool key) const;

  CacheSpec spec_;
  CacheShape shape_;
  std::uint64_t engine_;
  std::vector<std::int64_t> lengths_;  // by sequence
  std::vector<CacheGrowth> growth_;    // of the open transaction
  bool open_ = false;
};

// Throws Error for a dtype other than f32, no sequences, a fixed cache without a capacity, or more than this
// machine's memory.
std::unique_ptr<NativeCache> make_native_cache(const CacheSpec& spec, const CacheShape& shape,
                                               std::uint64_t engine);

// Every slot of a fixed cache's layer, [capacity, kv_heads, head_dim]; the free ones hold anything. For
// tests: what lies in free slots must change nothing. Throws InternalError for a cache of another kind.
CacheSlice fixed_cache_slots(Cache& cache, int layer, SequenceId sequence);

// Rolls back unless committed.
class CacheTransaction {
 public:
  CacheTransaction(NativeCache& cache, std::span<const CacheGrowth> growth) : cache_(&cache) {
    cache.begin(growth);
  }
  ~CacheTransaction() {
    if (cache_ != nullptr) cache_->rollback();
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
