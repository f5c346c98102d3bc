// All memory from the start: a buffer for the prefill, where the spec asks for one, and a buffer for the
// tokens after it, which is a ring: it can lose its oldest token and take a new one without moving any.
//
// The first step of an empty sequence, and steps of several tokens after it, go to the prefill's buffer as
// long as they fit there whole and nothing is in the other one. All other steps go to the other one, which is
// the only one where prefill_capacity is 0.
#pragma once

#include "impl/cache.h"
#include "impl/cache/saved_runs.h"
#include "impl/cache/storage.h"

namespace plumbline::native {

class FixedCache final : public NativeCache {
 public:
  FixedCache(const CacheSpec& spec, const CacheShape& shape, std::uint64_t engine,
             std::shared_ptr<CacheMemory> memory);
  std::int64_t bytes() const override { return prefill_.bytes() + ring_.bytes(); }
  void fill_free_slots(float value) override;

 private:
  // Which slots of a sequence hold tokens: [0, prefill) of the prefill's buffer, then `count` slots of the
  // ring from `first` on.
  struct Filling {
    std::int64_t prefill = 0;
    std::int64_t first = 0;
    std::int64_t count = 0;
  };

  std::int64_t forgotten(SequenceId sequence, std::int64_t tokens) const override;
  void open(std::span<const CacheGrowth> growth) override;
  Runs room(int layer, SequenceId sequence) override;
  Runs runs(int layer, SequenceId sequence, bool with_new) const override;
  void preserve(int layer, SequenceId sequence) override;
  void publish() override;
  void discard() override;
  void forget(SequenceId sequence, std::int64_t begin, std::int64_t end) override;
  void copy(SequenceId from, SequenceId to) override;

  bool fits_prefill(const Filling& now, std::int64_t tokens) const;
  Filling grown(const Filling& now, std::int64_t tokens) const;
  std::int64_t block(int layer, SequenceId sequence) const { return layer * spec().max_sequences + sequence; }
  // Slots of the ring for its tokens [begin, end), counted from the oldest; they may lie beyond `count`.
  void add_ring(Runs& runs, std::int64_t block, const Filling& filling, std::int64_t begin,
                std::int64_t end) const;
  Runs held(std::int64_t block, const Filling& filling) const;
  const Filling& now(SequenceId sequence) const { return now_[static_cast<std::size_t>(sequence)]; }
  const Filling& next(SequenceId sequence) const { return next_[static_cast<std::size_t>(sequence)]; }

  CacheBlocks prefill_;
  CacheBlocks ring_;
  std::vector<Filling> now_,
      next_;         // by sequence; `next_` for those that grow in a transaction
  SavedRuns saved_;  // what the open transaction overwrote
};

}  // namespace plumbline::native
