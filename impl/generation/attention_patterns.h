// What each token attended to: attention weights of chosen layers, one row of keys for each head, kept while
// prompts and new tokens go through the engine.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "harness/engine.h"
#include "impl/generation/captured_tokens.h"
#include "impl/generation/step_sink.h"

namespace plumbline::native {

struct AttentionOptions {
  std::vector<int> layers{};
  // 0 keeps all weights; else of each head only the keys with the largest, so many of them.
  std::int64_t top_keys = 0;
  // The engine writes out [heads, tokens, keys] for who listens. So a call with a token at this position or
  // beyond is left out, as traces leave these probes out of prompts of more than 1,024 tokens.
  std::int64_t longest_context = 1024;
};

// Keys count from the oldest one in the sequence's cache at that call; a token's own is the last.
struct AttendedKey {
  std::int64_t key = 0;
  float weight = 0;
  bool operator==(const AttendedKey&) const = default;
};

class AttentionPatterns final : public StepSink {
 public:
  // Throws Error for no layers, one named twice or that the model does not have, and a negative top_keys or
  // longest_context. The engine must outlive it. Memory grows with the tokens kept, 4 bytes for each layer,
  // head and key (16 for those of the top ones): see bytes(), clear().
  AttentionPatterns(Engine& engine, AttentionOptions options);

  // Tokens of a forward() that throws are dropped.
  void begin(std::span<const SequenceStep> steps) override;
  Access access(const ProbeId& id) const override;
  void receive(const ProbeId& id, const TensorView& view) override;

  // Tokens kept, in the order of the calls, within one that of its steps. Indices are of these; wrong ones,
  // and layers that are not kept, throw Error.
  std::int64_t tokens() const { return static_cast<std::int64_t>(kept_.size()); }
  std::int64_t left_out() const { return left_out_; }  // tokens beyond longest_context
  const ActivationOrigin& origin(std::int64_t token) const { return at(token).origin; }
  std::int64_t keys(std::int64_t token) const {
    return at(token).keys;
  }  // that the mask lets it see, at most
  // [heads, keys] f32, good until clear() or the next call; each head's sum is 1. Throws Error where only the
  // top keys are kept.
  TensorView weights(std::int64_t token, int layer) const;
  // min(top_keys, keys) of them, the largest weight first, of equal ones the older key. Throws Error where
  // all weights are kept, and for a head that the model does not have.
  std::span<const AttendedKey> top(std::int64_t token, int layer, std::int64_t head) const;
  std::int64_t bytes() const;
  void clear();

 private:
  struct Pattern {
    ActivationOrigin origin;
    std::int64_t keys = 0;
    std::vector<float> weights;    // [layers, heads, keys]
    std::vector<AttendedKey> top;  // [layers, heads, min(top_keys, keys)]
  };
  const Pattern& at(std::int64_t token) const;
  std::size_t slot_of(int layer) const;
  void keep_head(Pattern& pattern, std::size_t slot, std::int64_t head, const float* weights) const;

  Engine& engine_;
  AttentionOptions options_;
  std::map<int, std::size_t> slots_;  // by layer
  std::int64_t heads_;
  CapturedTokens tokens_;
  std::vector<Pattern> kept_;
  std::vector<Pattern> pending_;  // of all tokens of the call
  std::map<SequenceId, bool> left_out_now_;
  std::int64_t left_out_ = 0;
};

}  // namespace plumbline::native
