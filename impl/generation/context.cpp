#include "impl/generation/context.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "harness/error.h"

namespace plumbline::native {
namespace {

constexpr std::int64_t kAllExact = std::numeric_limits<std::int64_t>::max();

}  // namespace

ContextCache::ContextCache(const Engine& engine, const CacheSpec& spec) {
  if (spec.when_full == WhenFull::ring) {
    throw Error("a ring forgets tokens by itself", "generator's cache",
                "let a conversation evict its oldest turns");
  }
  cache_ = engine.make_cache(spec);
  limit_ = engine.config().max_position_embeddings;
  if (spec.capacity > 0) limit_ = std::min(limit_, spec.capacity + 1);
  used_.resize(static_cast<std::size_t>(spec.max_sequences));
}

SequenceId ContextCache::take() {
  const auto free = std::find(used_.begin(), used_.end(), false);
  if (free == used_.end()) {
    throw Error(fmt::format("all {} sequences are in use", used_.size()), "generator's cache",
                "give it more with max_sequences");
  }
  *free = true;
  return static_cast<SequenceId>(free - used_.begin());
}

void ContextCache::give_back(SequenceId sequence) {
  cache_->clear(sequence);
  used_[static_cast<std::size_t>(sequence)] = false;
}

Context::Context(std::shared_ptr<ContextCache> cache) : cache_(std::move(cache)), exact_(kAllExact) {
  sequence_ = cache_->take();
}

Context::Context(Context&& other) noexcept
    : cache_(std::move(other.cache_)),
      sequence_(std::exchange(other.sequence_, -1)),
      tokens_(std::move(other.tokens_)),
      positions_(std::move(other.positions_)),
      exact_(other.exact_) {}

Context& Context::operator=(Context&& other) noexcept {
  if (this == &other) return *this;
  release();
  cache_ = std::move(other.cache_);
  sequence_ = std::exchange(other.sequence_, -1);
  tokens_ = std::move(other.tokens_);
  positions_ = std::move(other.positions_);
  exact_ = other.exact_;
  return *this;
}

Context::~Context() {
  release();
}

void Context::release() {
  if (sequence_ >= 0) cache_->give_back(sequence_);
  sequence_ = -1;
}

Context Context::fork() const {
  Context copy(cache_);
  cache().fork(sequence_, copy.sequence_);
  copy.tokens_ = tokens_;
  copy.positions_ = positions_;
  copy.exact_ = exact_;
  return copy;
}

std::int64_t Context::assign(std::span<const TokenId> tokens) {
  const auto same = std::mismatch(tokens_.begin(), tokens_.end(), tokens.begin(), tokens.end()).second;
  crop(same - tokens.begin());
  const std::int64_t reused = cached();
  append({same, tokens.end()});
  return reused;
}

void Context::append(std::span<const TokenId> tokens) {
  positions_.reserve(positions_.size() + tokens.size());
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  for (std::int64_t position = next_position(); positions_.size() < tokens_.size(); ++position)
    positions_.push_back(position);
}

void Context::crop(std::int64_t length) {
  if (length < 0 || length > this->length()) {
    throw Error(fmt::format("cannot crop {} tokens to {}", this->length(), length), "context");
  }
  if (length < cached()) cache().crop(sequence_, length);
  tokens_.resize(static_cast<std::size_t>(length));
  positions_.resize(static_cast<std::size_t>(length));
  if (exact_ >= length) exact_ = kAllExact;
}

void Context::evict(std::int64_t begin, std::int64_t end) {
  if (begin < 0 || begin > end || end > cached()) {
    throw Error(fmt::format("cannot evict tokens {} to {} of {} cached ones", begin, end, cached()),
                "context");
  }
  if (begin == end) return;
  cache().evict(sequence_, begin, end);
  tokens_.erase(tokens_.begin() + begin, tokens_.begin() + end);
  positions_.erase(positions_.begin() + begin, positions_.begin() + end);
  if (begin < cached()) exact_ = std::min(exact_, begin);
}

void Context::restore(std::vector<TokenId> tokens, std::vector<std::int64_t> positions) {
  bool increasing = tokens.size() == positions.size();
  std::int64_t exact = kAllExact;
  for (std::size_t i = 0; increasing && i < positions.size(); ++i) {
    const auto index = static_cast<std::int64_t>(i);
    increasing = positions[i] >= index && (i == 0 || positions[i] > positions[i - 1]);
    if (positions[i] != index) exact = std::min(exact, index);  // something was evicted before it
  }
  if (!increasing) throw Error("positions do not fit the tokens", "context");
  tokens_ = std::move(tokens);
  positions_ = std::move(positions);
  exact_ = exact;
}

SequenceStep Context::next_step(std::int64_t most) const {
  const std::int64_t first = cached();
  const auto count = static_cast<std::size_t>(std::min(most, pending()));
  const auto from = static_cast<std::size_t>(first);
  const bool all = first + static_cast<std::int64_t>(count) == length();
  return {sequence_, tokens().subspan(from, count), std::span(positions_).subspan(from, count),
          all ? LogitsWanted::last : LogitsWanted::none};
}

void Context::reopen_last() {
  if (pending() == 0 && length() > 0) cache().crop(sequence_, length() - 1);
}

}  // namespace plumbline::native
