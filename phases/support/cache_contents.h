// What lies in a cache, slot by slot, against the keys and values of an uncached run.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "harness/engine.h"
#include "harness/report.h"
#include "harness/slot_tags.h"

namespace plumbline::phases {

// How tokens come in: one by one, several of a sequence at once, or those of all sequences in one call.
enum class Feed : std::uint8_t { sequential, chunked, batched };
std::string feed_name(Feed feed);

// Two sequences of tokens that all differ, where the vocabulary suffices, and what an uncached prefill of
// each makes of them.
class CacheContents {
 public:
  static constexpr int kSequences = 2;

  CacheContents(Engine& engine, std::int64_t tokens);
  std::int64_t tokens() const { return tokens_; }
  std::vector<TokenId> sequence(int index) const;

  // Feeds both sequences from an empty cache on, `past` tokens first (0: none) and then the rest as `feed`
  // says, at least three steps; after every call all layers of both are held against the uncached run bit for
  // bit, by slot. A cache of half dtype, or a ring, is held at the end against its own run's keys and values,
  // rounded to what it stores. Checks that passed are one for the keys and one for the values; the note of
  // others names the cache. The cache must be empty.
  std::vector<Check> check(Cache& cache, std::int64_t past, Feed feed, const std::string& subject) const;

  // The uncached run's.
  const Tensor& rows(const SlotOwner& owner) const { return rows_.at(owner); }

 private:
  std::vector<Check> look(const Cache& cache, const SlotTags& tags, std::span<const std::int64_t> kept,
                          Feed feed, const std::string& subject) const;

  Engine& engine_;
  std::int64_t tokens_;
  std::map<SlotOwner, Tensor> rows_;
  SlotTags tags_;
};

// Checks that passed and share their `what`, as one with their count.
std::vector<Check> merge_passed(std::vector<Check> checks);

}  // namespace plumbline::phases
