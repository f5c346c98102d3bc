// Grows as the formula says: new = concatenate(old, appended), into new memory each time. The old tensors
// stay untouched until commit. One block of just enough slots for each layer and sequence.
#pragma once

#include <map>
#include <utility>

#include "impl/cache.h"
#include "impl/cache/storage.h"

namespace plumbline::native {

class ConcatCache final : public NativeCache {
 public:
  ConcatCache(const CacheSpec& spec, const CacheShape& shape, std::uint64_t engine);
  std::int64_t bytes() const override;
  void fill_free_slots(float) override {}  // there are none

 private:
  using Entries = std::map<std::pair<SequenceId, int>,
                           CacheBlocks>;  // by sequence and layer

  std::int64_t forgotten(SequenceId sequence, std::int64_t tokens) const override;
  void open(std::span<const CacheGrowth>) override {}
  Runs room(int layer, SequenceId sequence) override;
  Runs runs(int layer, SequenceId sequence, bool with_new) const override;
  void preserve(int, SequenceId) override {}  // what is pending is a copy already
  void publish() override;
  void discard() override { pending_.clear(); }
  void forget(SequenceId sequence, std::int64_t begin, std::int64_t end) override;
  void copy(SequenceId from, SequenceId to) override;
  CacheBlocks block(std::int64_t tokens) const;  // throws Error when there is no memory
  void put(Entries entries);

  Entries entries_;
  Entries pending_;
};

}  // namespace plumbline::native
