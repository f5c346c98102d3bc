// Grows: new = concatenate(old, appended). What is held moves into new memory only when there is no slot
// left, and then into an eighth more than it needs, so that a token's update costs the same at any length, on
// average. One block for each layer and sequence.
#pragma once

#include <map>
#include <utility>

#include "impl/cache.h"
#include "impl/cache/saved_runs.h"
#include "impl/cache/storage.h"

namespace plumbline::native {

class ConcatCache final : public NativeCache {
 public:
  ConcatCache(const CacheSpec& spec, const CacheShape& shape, std::uint64_t engine,
              std::shared_ptr<CacheMemory> memory);
  std::int64_t bytes() const override;
  void fill_free_slots(float value) override;

 private:
  using Place = std::pair<SequenceId, int>;  // sequence and layer
  using Entries = std::map<Place, CacheBlocks>;

  std::int64_t forgotten(SequenceId sequence, std::int64_t tokens) const override;
  void open(std::span<const CacheGrowth>) override {}
  Runs room(int layer, SequenceId sequence) override;
  Runs runs(int layer, SequenceId sequence, bool with_new) const override;
  void preserve(int layer, SequenceId sequence) override;
  void publish() override;
  void discard() override;
  void forget(SequenceId sequence, std::int64_t begin, std::int64_t end) override;
  void copy(SequenceId from, SequenceId to) override;
  // With slots to spare. Throws Error when there is no memory.
  CacheBlocks block(std::int64_t tokens) const;
  void put(Entries entries);

  Entries entries_;
  Entries pending_;  // those that had to move for the open transaction
  SavedRuns saved_;  // what it overwrote
};

}  // namespace plumbline::native
