#include "impl/cache/fixed.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "harness/error.h"

namespace plumbline::native {

FixedCache::FixedCache(const CacheSpec& spec, const CacheShape& shape, std::uint64_t engine,
                       std::shared_ptr<CacheMemory> memory)
    : NativeCache(spec, shape, engine, std::move(memory)),
      prefill_(this->memory(), spec, shape, shape.layers * spec.max_sequences, spec.prefill_capacity),
      ring_(this->memory(), spec, shape, shape.layers * spec.max_sequences,
            spec.capacity - spec.prefill_capacity),
      now_(static_cast<std::size_t>(spec.max_sequences)),
      next_(now_) {
  prefill_.zero(this->memory());
  ring_.zero(this->memory());
}

bool FixedCache::fits_prefill(const Filling& now, std::int64_t tokens) const {
  return now.count == 0 && (tokens > 1 || now.prefill == 0) && tokens <= prefill_.slots() - now.prefill;
}

std::int64_t FixedCache::forgotten(SequenceId sequence, std::int64_t tokens) const {
  const Filling& filling = now(sequence);
  if (fits_prefill(filling, tokens)) return 0;
  const std::int64_t missing = tokens - (ring_.slots() - filling.count);
  if (missing <= 0) return 0;
  const bool makes_room = spec().when_full == WhenFull::ring && tokens <= ring_.slots();
  if (makes_room) return missing;
  std::string held = fmt::format("{} of {} tokens", filling.prefill + filling.count, spec().capacity);
  if (prefill_.slots() > 0) {
    held += fmt::format(" ({} of {} of the prefill, {} of {} after it)", filling.prefill, prefill_.slots(),
                        filling.count, ring_.slots());
  }
  throw Error(fmt::format("is full: sequence {} holds {} and needs room for {} more", sequence, held, tokens),
              "native cache");
}

FixedCache::Filling FixedCache::grown(const Filling& filling, std::int64_t tokens) const {
  Filling more = filling;
  if (fits_prefill(filling, tokens)) {
    more.prefill += tokens;
    return more;
  }
  const std::int64_t lost = std::max(tokens - (ring_.slots() - filling.count), std::int64_t{0});
  more.first = (filling.first + lost) % ring_.slots();
  more.count += tokens - lost;
  return more;
}

void FixedCache::open(std::span<const CacheGrowth> growth) {
  for (const CacheGrowth& each : growth) {
    next_[static_cast<std::size_t>(each.sequence)] = grown(now(each.sequence), each.tokens);
  }
}

void FixedCache::add_ring(Runs& runs, std::int64_t block, const Filling& filling, std::int64_t begin,
                          std::int64_t end) const {
  if (begin == end) return;
  const std::int64_t start = (filling.first + begin) % ring_.slots();
  const std::int64_t older = std::min(end - begin, ring_.slots() - start);
  runs.add(ring_.run(block, start, older));
  runs.add(ring_.run(block, 0, end - begin - older));
}

NativeCache::Runs FixedCache::held(std::int64_t block, const Filling& filling) const {
  Runs runs;
  runs.add(prefill_.run(block, 0, filling.prefill));
  add_ring(runs, block, filling, 0, filling.count);
  return runs;
}

NativeCache::Runs FixedCache::runs(int layer, SequenceId sequence, bool with_new) const {
  return held(block(layer, sequence), with_new ? next(sequence) : now(sequence));
}

NativeCache::Runs FixedCache::room(int layer, SequenceId sequence) {
  const Filling& before = now(sequence);
  const Filling& after = next(sequence);
  const std::int64_t added = growth_of(sequence);
  Runs to;
  if (after.prefill != before.prefill) {
    to.add(prefill_.run(block(layer, sequence), before.prefill, added));
    return to;
  }
  add_ring(to, block(layer, sequence), after, after.count - added, after.count);
  if (before.count + added > ring_.slots()) {  // over tokens that come back with a rollback
    for (const StoredRun& run : to) saved_.save(memory(), format(), run);
  }
  return to;
}

void FixedCache::preserve(int layer, SequenceId sequence) {
  for (const StoredRun& run : runs(layer, sequence, true)) saved_.save(memory(), format(), run);
}

void FixedCache::publish() {
  for (const CacheGrowth& each : growth()) {
    const auto at = static_cast<std::size_t>(each.sequence);
    now_[at] = next_[at];
  }
  saved_.clear();
}

void FixedCache::discard() {
  saved_.restore(memory(), format());
}

}  // namespace plumbline::native
