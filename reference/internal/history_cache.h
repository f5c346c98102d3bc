// The reference's cache: it keeps no keys, but every token and position of each sequence, and the engine
// computes the whole sequence anew.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "harness/engine.h"

namespace plumbline::reference {

struct History {
  std::vector<TokenId> tokens;
  std::vector<std::int64_t> positions;
  std::int64_t length() const { return static_cast<std::int64_t>(tokens.size()); }
};

// Identifies the engine that made a cache, also after that engine is gone.
using EngineMark = std::shared_ptr<const int>;

class HistoryCache final : public Cache {
 public:
  HistoryCache(const CacheSpec& spec, EngineMark maker);

  const CacheSpec& spec() const override { return spec_; }
  std::int64_t length(SequenceId sequence) const override { return history(sequence).length(); }
  bool holds_keys() const override { return false; }
  Tensor read_key(int layer, SequenceId sequence) const override;
  Tensor read_value(int layer, SequenceId sequence) const override;
  std::int64_t bytes() const override;
  void clear(SequenceId sequence) override;
  void crop(SequenceId sequence, std::int64_t length) override;
  void fork(SequenceId from, SequenceId to) override;

  const EngineMark& maker() const { return maker_; }
  bool has(SequenceId sequence) const;
  // Throws Error for a sequence that this cache does not have.
  const History& history(SequenceId sequence) const;
  // The sequence with more tokens; the cache itself stays as it is.
  History extended(SequenceId sequence, std::span<const TokenId> tokens,
                   std::span<const std::int64_t> positions) const;
  void replace(SequenceId sequence, History history);

 private:
  CacheSpec spec_;
  EngineMark maker_;
  std::vector<History> sequences_;
};

}  // namespace plumbline::reference
