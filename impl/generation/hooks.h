// What a generation loop shows of each token, and what may be done about it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "harness/engine.h"

namespace plumbline::native {

// Before the sampler: the logits are a copy that it will be given, and may be changed.
struct LogitsEvent {
  std::size_t row = 0;        // of the batch
  std::int64_t index = 0;     // tokens generated before this one
  std::int64_t position = 0;  // that the token will take
  std::span<float> logits;    // [vocab]
};

class StepLogits;  // impl/generation/step_logits.h

// A span of logits, [vocab] f32, that come to the host when they are first looked at. Good during the call.
class TokenLogits {
 public:
  TokenLogits() = default;
  TokenLogits(std::span<const float> values) : values_(values) {}  // NOLINT(google-explicit-constructor)
  explicit TokenLogits(StepLogits& source) : source_(&source) {}

  std::span<const float> values() const;
  operator std::span<const float>() const { return values(); }  // NOLINT(google-explicit-constructor)
  std::span<const float>::iterator begin() const;
  std::span<const float>::iterator end() const;
  std::size_t size() const { return values().size(); }
  float operator[](std::size_t token) const { return values()[token]; }

 private:
  std::span<const float> values_;
  StepLogits* source_ = nullptr;
};

// Types that are said: were they deduced, the constructor from a span would ask for them while it is
// declared.
inline std::span<const float>::iterator TokenLogits::begin() const {
  return values().begin();
}
inline std::span<const float>::iterator TokenLogits::end() const {
  return values().end();
}

// After the sampler. All views are good during the call.
struct TokenEvent {
  std::size_t row = 0;        // of the batch
  SequenceId sequence = 0;    // of the cache, as probe sinks see it
  std::int64_t index = 0;     // tokens generated before this one
  std::int64_t position = 0;  // that the token takes
  TokenId token = 0;          // chosen
  std::string_view text;  // characters that it completes; empty in the midst of one, or without a tokenizer
  TokenLogits logits;     // of the engine: without on_logits, penalties, temperature, filters
  double forward_seconds = 0;  // of the forward calls since the token before
  double sampling_seconds = 0;
  double seconds = 0;  // since generation began

  // softmax(logits), [vocab], summed in f64; computed at the call.
  std::vector<float> probabilities() const;
  double probability_of(TokenId token) const;  // the one; throws Error outside the vocabulary
};

// What a callback wants done. Several at once are carried out in this order.
struct TokenAction {
  std::optional<TokenId> force{};  // this token in place of the chosen one
  // These behind it: a tool's answer. They are read, not generated: they count for no limit but the
  // context's, and penalties on what was generated begin anew. An end token or stop string before them does
  // not stop.
  std::vector<TokenId> insert{};
  bool stop = false;  // after all that; an end (StopReason::callback)
};

// Any may be empty. One that throws ends the call; the context then has the tokens that are settled, and can
// be used. None may use the generator that calls it.
struct GenerationHooks {
  std::function<void(LogitsEvent&)> on_logits;
  std::function<TokenAction(const TokenEvent&)> on_token;
  // The text that is certain, as it grows: whole characters, nothing that may belong to a stop string.
  std::function<void(std::string_view)> on_text;
  // Looked at before each forward call: where true, generation ends (StopReason::interrupted).
  const std::atomic<bool>* interrupt = nullptr;
};

}  // namespace plumbline::native
