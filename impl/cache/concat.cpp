#include "impl/cache/concat.h"

#include <algorithm>

#include <fmt/format.h>

#include "harness/error.h"
#include "impl/memory.h"

namespace plumbline::native {
namespace {

constexpr std::int64_t kFewestSpare = 16;  // slots beyond what a block needs when it is made

}  // namespace

ConcatCache::ConcatCache(const CacheSpec& spec, const CacheShape& shape, std::uint64_t engine,
                         std::shared_ptr<CacheMemory> memory)
    : NativeCache(spec, shape, engine, std::move(memory)) {}

CacheBlocks ConcatCache::block(std::int64_t tokens) const {
  std::int64_t slots = tokens + std::max(tokens / 8, kFewestSpare);
  if (spec().capacity > 0) slots = std::min(slots, spec().capacity);
  const std::int64_t bytes = 2 * slots * shape().row() * static_cast<std::int64_t>(dtype_size(spec().dtype));
  return with_memory(fmt::format("{} tokens of a layer", slots), bytes, "native cache", "",
                     [&] { return CacheBlocks(memory(), spec(), shape(), 1, slots); });
}

std::int64_t ConcatCache::forgotten(SequenceId sequence, std::int64_t tokens) const {
  const std::int64_t held = length(sequence);
  if (spec().capacity > 0 && tokens > spec().capacity - held) {
    throw Error(fmt::format("is full: sequence {} holds {} of {} tokens and "
                            "needs room for {} more",
                            sequence, held, spec().capacity, tokens),
                "native cache");
  }
  return 0;
}

NativeCache::Runs ConcatCache::runs(int layer, SequenceId sequence, bool with_new) const {
  const Place place{sequence, layer};
  const auto moved = with_new ? pending_.find(place) : pending_.end();
  const auto found = moved != pending_.end() ? moved : entries_.find(place);
  Runs runs;
  if (found == entries_.end()) return runs;
  runs.add(found->second.run(0, 0, length(sequence) + (with_new ? growth_of(sequence) : 0)));
  return runs;
}

NativeCache::Runs ConcatCache::room(int layer, SequenceId sequence) {
  const std::int64_t past = length(sequence);
  const std::int64_t added = growth_of(sequence);
  const Place place{sequence, layer};
  auto entry = entries_.find(place);
  if (entry == entries_.end() || entry->second.slots() < past + added) {
    CacheBlocks grown = block(past + added);
    for (const StoredRun& old : runs(layer, sequence, false))
      memory().copy_run(format(), grown.run(0, 0, past), old);
    entry = pending_.insert_or_assign(place, std::move(grown)).first;
  }
  Runs to;
  to.add(entry->second.run(0, past, added));
  return to;
}

void ConcatCache::put(Entries entries) {
  while (!entries.empty()) {
    auto node = entries.extract(entries.begin());
    entries_.erase(node.key());
    entries_.insert(std::move(node));
  }
}

void ConcatCache::preserve(int layer, SequenceId sequence) {
  if (pending_.contains({sequence, layer})) return;  // a copy already
  for (const StoredRun& run : runs(layer, sequence, false)) saved_.save(memory(), format(), run);
}

void ConcatCache::publish() {
  put(std::move(pending_));
  pending_.clear();
  saved_.clear();
}

void ConcatCache::discard() {
  pending_.clear();
  saved_.restore(memory(), format());
}

void ConcatCache::forget(SequenceId sequence, std::int64_t begin, std::int64_t end) {
  const std::int64_t rest = length(sequence) - end;
  Entries shorter;
  for (int layer = 0; layer < shape().layers; ++layer) {
    const auto found = entries_.find({sequence, layer});
    if (found == entries_.end()) continue;
    const std::int64_t kept = begin + rest;
    if (kept == 0) {
      entries_.erase(found);
      continue;
    }
    if (rest == 0 && found->second.slots() < 2 * (kept + kFewestSpare))
      continue;  // cropped: its slots are free
    CacheBlocks smaller = block(kept);
    memory().copy_run(format(), smaller.run(0, 0, begin), found->second.run(0, 0, begin));
    memory().copy_run(format(), smaller.run(0, begin, rest), found->second.run(0, end, rest));
    shorter.insert_or_assign({sequence, layer}, std::move(smaller));
  }
  put(std::move(shorter));
}

void ConcatCache::copy(SequenceId from, SequenceId to) {
  const std::int64_t tokens = length(from);
  Entries copies;
  for (int layer = 0; layer < shape().layers; ++layer) {
    const auto found = entries_.find({from, layer});
    if (found == entries_.end()) {
      entries_.erase({to, layer});
      continue;
    }
    CacheBlocks made = block(tokens);
    memory().copy_run(format(), made.run(0, 0, tokens), found->second.run(0, 0, tokens));
    copies.insert_or_assign({to, layer}, std::move(made));
  }
  put(std::move(copies));
}

std::int64_t ConcatCache::bytes() const {
  std::int64_t bytes = 0;
  for (const auto& [place, block] : entries_) bytes += block.bytes();
  return bytes;
}

void ConcatCache::fill_free_slots(float value) {
  for (const auto& [place, block] : entries_) {
    const std::int64_t held = length(place.first);
    memory().fill_run(format(), block.run(0, held, block.slots() - held), value);
  }
}

}  // namespace plumbline::native
