#include "impl/cache/concat.h"

#include <new>

#include <fmt/format.h>

#include "harness/error.h"

namespace plumbline::native {

ConcatCache::ConcatCache(const CacheSpec& spec, const CacheShape& shape, std::uint64_t engine)
    : NativeCache(spec, shape, engine) {}

CacheBlocks ConcatCache::block(std::int64_t tokens) const {
  try {
    return {spec(), shape(), 1, tokens};
  } catch (const std::bad_alloc&) {
    throw Error(fmt::format("there is no memory for {} tokens of a layer: {} bytes", tokens,
                            2 * tokens * shape().row() * static_cast<std::int64_t>(dtype_size(spec().dtype))),
                "native cache");
  }
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
  const Entries& from = with_new ? pending_ : entries_;
  const auto found = from.find({sequence, layer});
  Runs runs;
  if (found != from.end()) runs.add(found->second.run(0, 0, found->second.slots()));
  return runs;
}

NativeCache::Runs ConcatCache::room(int layer, SequenceId sequence) {
  const std::int64_t past = length(sequence);
  const std::int64_t added = growth_of(sequence);
  CacheBlocks grown = block(past + added);
  for (const StoredRun& old : runs(layer, sequence, false)) copy_run(format(), grown.run(0, 0, past), old);
  Runs to;
  to.add(grown.run(0, past, added));
  pending_.insert_or_assign({sequence, layer}, std::move(grown));
  return to;
}

void ConcatCache::put(Entries entries) {
  while (!entries.empty()) {
    auto node = entries.extract(entries.begin());
    entries_.erase(node.key());
    if (node.mapped().slots() > 0) entries_.insert(std::move(node));
  }
}

void ConcatCache::publish() {
  put(std::move(pending_));
  pending_.clear();
}

void ConcatCache::forget(SequenceId sequence, std::int64_t begin, std::int64_t end) {
  const std::int64_t rest = length(sequence) - end;
  Entries shorter;
  for (int layer = 0; layer < shape().layers; ++layer) {
    const auto found = entries_.find({sequence, layer});
    if (found == entries_.end()) continue;
    CacheBlocks kept = block(begin + rest);
    copy_run(format(), kept.run(0, 0, begin), found->second.run(0, 0, begin));
    copy_run(format(), kept.run(0, begin, rest), found->second.run(0, end, rest));
    shorter.insert_or_assign({sequence, layer}, std::move(kept));
  }
  put(std::move(shorter));
}

void ConcatCache::copy(SequenceId from, SequenceId to) {
  Entries copies;
  for (int layer = 0; layer < shape().layers; ++layer) {
    const auto found = entries_.find({from, layer});
    const std::int64_t tokens = found == entries_.end() ? 0 : found->second.slots();
    CacheBlocks made = block(tokens);
    if (tokens > 0) copy_run(format(), made.run(0, 0, tokens), found->second.run(0, 0, tokens));
    copies.insert_or_assign({to, layer}, std::move(made));
  }
  put(std::move(copies));
}

std::int64_t ConcatCache::bytes() const {
  std::int64_t bytes = 0;
  for (const auto& [place, block] : entries_) bytes += block.bytes();
  return bytes;
}

}  // namespace plumbline::native
