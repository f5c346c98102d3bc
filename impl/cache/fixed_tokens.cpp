// Tokens forgotten, copied, and the slots that hold none.
#include <algorithm>

#include "impl/cache/fixed.h"

namespace plumbline::native {

void FixedCache::forget(SequenceId sequence, std::int64_t begin, std::int64_t end) {
  const Filling before = now(sequence);
  // Token `index` of the sequence, and those after it that lie behind it: at most `most`.
  const auto place = [&](int layer, std::int64_t index, std::int64_t most) {
    const std::int64_t at = block(layer, sequence);
    if (index < before.prefill) return prefill_.run(at, index, most);
    const std::int64_t slot = (before.first + index - before.prefill) % ring_.slots();
    return ring_.run(at, slot, std::min(most, ring_.slots() - slot));
  };
  // Each buffer closes its own gap, in pieces no longer than the gap: then none overlaps where it goes.
  const auto close = [&](std::int64_t gap, std::int64_t gap_end, std::int64_t last) {
    for (int layer = 0; layer < shape().layers; ++layer) {
      for (std::int64_t index = gap_end, moved = 0; index < last; index += moved) {
        StoredRun from = place(layer, index, std::min(last - index, gap_end - gap));
        const StoredRun to = place(layer, index - gap_end + gap, from.tokens);
        from.tokens = moved = to.tokens;
        memory().copy_run(format(), to, from);
      }
    }
  };
  Filling after = before;
  const std::int64_t split = before.prefill;
  if (begin < split) {
    close(begin, std::min(end, split), split);
    after.prefill -= std::min(end, split) - begin;
  }
  if (end > split) {
    const std::int64_t from = std::max(begin, split);
    after.count -= end - from;
    if (from == split) {
      after.first = (before.first + end - from) % ring_.slots();
    } else {
      close(from, end, split + before.count);
    }
  }
  if (after.count == 0) after.first = 0;
  now_[static_cast<std::size_t>(sequence)] = after;
}

void FixedCache::copy(SequenceId from, SequenceId to) {
  for (int layer = 0; layer < shape().layers; ++layer) {
    const Runs source = held(block(layer, from), now(from));
    const Runs target = held(block(layer, to), now(from));
    for (std::size_t i = 0; i < source.size(); ++i) memory().copy_run(format(), target[i], source[i]);
  }
  now_[static_cast<std::size_t>(to)] = now(from);
}

void FixedCache::fill_free_slots(float value) {
  for (SequenceId sequence = 0; sequence < spec().max_sequences; ++sequence) {
    const Filling& filling = now(sequence);
    for (int layer = 0; layer < shape().layers; ++layer) {
      const std::int64_t at = block(layer, sequence);
      memory().fill_run(format(), prefill_.run(at, filling.prefill, prefill_.slots() - filling.prefill),
                        value);
      Runs free;
      add_ring(free, at, filling, filling.count, ring_.slots());
      for (const StoredRun& run : free) memory().fill_run(format(), run, value);
    }
  }
}

}  // namespace plumbline::native
