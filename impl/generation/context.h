// The tokens of one sequence, and which of them a cache holds: what the generation loop works on. Whatever is
// asked for next, the longest prefix that it shares with what was there is not computed again.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "harness/engine.h"

namespace plumbline::native {

// A cache, and which of its sequences are in use.
class ContextCache {
 public:
  // Throws what Engine::make_cache throws, and Error for a ring: it forgets tokens that nobody named.
  ContextCache(const Engine& engine, const CacheSpec& spec);

  Cache& cache() { return *cache_; }
  const Cache& cache() const { return *cache_; }
  // The most tokens that one sequence may have: the model's context, or one more than the cache has room for,
  // because the last token is never fed.
  std::int64_t limit() const { return limit_; }

 private:
  friend class Context;
  SequenceId take();  // an empty sequence; throws Error when all are in use
  void give_back(SequenceId sequence);

  std::unique_ptr<Cache> cache_;
  std::int64_t limit_;
  std::vector<bool> used_;  // by sequence
};

// One sequence, held until the object goes. Tokens that the cache does not hold yet are *pending*: always at
// the end.
class Context {
 public:
  explicit Context(std::shared_ptr<ContextCache> cache);
  Context(Context&& other) noexcept;
  Context& operator=(Context&& other) noexcept;
  ~Context();
  // A copy in another sequence of the same cache; the two are independent from then on.
  Context fork() const;

  std::span<const TokenId> tokens() const { return tokens_; }
  std::int64_t length() const { return static_cast<std::int64_t>(tokens_.size()); }
  std::int64_t cached() const { return cache_->cache().length(sequence_); }
  std::int64_t pending() const { return length() - cached(); }
  std::int64_t limit() const { return cache_->limit(); }
  // That the next token will get. Equal to length() unless tokens were evicted.
  std::int64_t next_position() const { return positions_.empty() ? 0 : positions_.back() + 1; }
  SequenceId sequence() const { return sequence_; }
  ContextCache& owner() const { return *cache_; }
  Cache& cache() const { return cache_->cache(); }

  // Makes the tokens these. Returns how many, from the first on, are cached already.
  std::int64_t assign(std::span<const TokenId> tokens);
  void append(std::span<const TokenId> tokens);
  // Forgets all tokens from `length` on. Throws Error for a length that is negative or beyond length().
  void crop(std::int64_t length);
  void clear() { crop(0); }
  // Forgets the tokens [begin, end) and keeps the keys and positions of those behind them, which have
  // attended to them: other numbers than a recompute would give. Throws Error for a range that is not cached,
  // and where the engine's cache cannot.
  void evict(std::int64_t begin, std::int64_t end);
  // False while tokens are held that attended to evicted ones.
  bool exact() const { return exact_ >= length(); }
  std::span<const std::int64_t> positions() const { return positions_; }  // by token
  // Of an empty context that was saved: tokens and their positions, whose first the cache holds already.
  // Throws Error where the positions do not increase from 0 on, or are not as many.
  void restore(std::vector<TokenId> tokens, std::vector<std::int64_t> positions);

  // The next at most `most` pending tokens; with logits of the last where none remains after them. The views
  // are good until the context changes.
  SequenceStep next_step(std::int64_t most) const;
  // So that there is something to compute logits from: where nothing is pending, the last token is. Nothing
  // happens to an empty context.
  void reopen_last();

 private:
  void release();

  std::shared_ptr<ContextCache> cache_;
  SequenceId sequence_ = -1;
  std::vector<TokenId> tokens_;
  std::vector<std::int64_t> positions_;  // by token
  std::int64_t exact_ = 0;  // tokens from here on attended to evicted ones; when beyond length(), none
};

}  // namespace plumbline::native
