// Where the two kinds of cache keep their floats; see impl/cache.h for what they promise.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "impl/cache.h"

namespace plumbline::native {

// Grows as the formula says: new = concatenate(old, appended), into new memory each time. The old tensors
// stay untouched until commit.
class ConcatCache final : public NativeCache {
 public:
  ConcatCache(const CacheSpec& spec, const CacheShape& shape, std::uint64_t engine);
  CacheSlice append(int layer, SequenceId sequence, const float* keys, const float* values) override;
  void preserve(int, SequenceId) override {}  // a slice is a copy already
  std::int64_t bytes() const override;

 private:
  struct Entry {
    std::vector<float> keys;    // [length, kv_heads, head_dim]
    std::vector<float> values;  // the same
  };
  using Place = std::pair<SequenceId, int>;  // sequence, layer

  CacheSlice committed(int layer, SequenceId sequence) const override;
  void resize(SequenceId sequence, std::int64_t length) override;
  void copy(SequenceId from, SequenceId to) override;
  void publish() override;
  void discard() override { pending_.clear(); }

  std::map<Place, Entry> entries_;
  std::map<Place, Entry> pending_;
};

// All memory from the start, [layer][sequence][capacity, kv_heads, head_dim]; tokens lie in logical order
// from slot 0 on, slots beyond the length are free and never read.
class FixedCache final : public NativeCache {
 public:
  FixedCache(const CacheSpec& spec, const CacheShape& shape, std::uint64_t engine);
  CacheSlice append(int layer, SequenceId sequence, const float* keys, const float* values) override;
  void preserve(int layer, SequenceId sequence) override;
  std::int64_t bytes() const override;
  CacheSlice slots(int layer, SequenceId sequence);

 private:
  struct Saved {  // what a slice may have overwritten
    int layer;
    SequenceId sequence;
    Tensor keys;
    Tensor values;
  };

  CacheSlice committed(int layer, SequenceId sequence) const override;
  void resize(SequenceId, std::int64_t) override {}
  void copy(SequenceId from, SequenceId to) override;
  void publish() override { saved_.clear(); }
  void discard() override;
  std::size_t offset(int layer, SequenceId sequence) const;

  std::vector<float> keys_;
  std::vector<float> values_;
  std::vector<Saved> saved_;
};

}  // namespace plumbline::native
