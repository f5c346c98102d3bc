#include "reference/internal/history_cache.h"

#include <string>
#include <utility>

namespace plumbline::reference {

HistoryCache::HistoryCache(const CacheSpec& spec, EngineMark maker)
    : spec_(spec), maker_(std::move(maker)), sequences_(static_cast<std::size_t>(spec.max_sequences)) {}

bool HistoryCache::has(SequenceId sequence) const {
  return sequence >= 0 && sequence < spec_.max_sequences;
}

const History& HistoryCache::history(SequenceId sequence) const {
  if (!has(sequence)) {
    throw Error("sequence " + std::to_string(sequence) + " is not in the cache", "reference cache",
                "it holds " + std::to_string(spec_.max_sequences));
  }
  return sequences_[static_cast<std::size_t>(sequence)];
}

History HistoryCache::extended(SequenceId sequence, std::span<const TokenId> tokens,
                               std::span<const std::int64_t> positions) const {
  History longer = history(sequence);
  longer.tokens.insert(longer.tokens.end(), tokens.begin(), tokens.end());
  longer.positions.insert(longer.positions.end(), positions.begin(), positions.end());
  return longer;
}

void HistoryCache::replace(SequenceId sequence, History history) {
  require(has(sequence), "HistoryCache::replace: no such sequence");
  sequences_[static_cast<std::size_t>(sequence)] = std::move(history);
}

Tensor HistoryCache::read_key(int, SequenceId) const {
  throw InternalError("the reference's cache keeps tokens, not keys");
}
Tensor HistoryCache::read_value(int, SequenceId) const {
  throw InternalError("the reference's cache keeps tokens, not values");
}

std::int64_t HistoryCache::bytes() const {
  std::size_t bytes = 0;
  for (const History& sequence : sequences_) {
    bytes +=
        sequence.tokens.capacity() * sizeof(TokenId) + sequence.positions.capacity() * sizeof(std::int64_t);
  }
  return static_cast<std::int64_t>(bytes);
}

void HistoryCache::clear(SequenceId sequence) {
  crop(sequence, 0);
}

void HistoryCache::crop(SequenceId sequence, std::int64_t length) {
  const std::int64_t present = history(sequence).length();
  if (!(length >= 0 && length <= present)) {
    throw Error("cannot crop " + std::to_string(present) + " tokens to " + std::to_string(length),
                "reference cache");
  }
  History& kept = sequences_[static_cast<std::size_t>(sequence)];
  kept.tokens.resize(static_cast<std::size_t>(length));
  kept.positions.resize(static_cast<std::size_t>(length));
}

void HistoryCache::fork(SequenceId from, SequenceId to) {
  History copy = history(from);
  history(to);  // refuses a sequence that is not there
  replace(to, std::move(copy));
}

}  // namespace plumbline::reference
