// The sampling interface: parameters, and one draw of a sampler chain whose every stage is a probe.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "harness/engine.h"

namespace plumbline {

// Added to a token's logit; -inf bans the token.
struct LogitBias {
  TokenId token = 0;
  double bias = 0;
  bool operator==(const LogitBias&) const = default;
};

// Order of the chain: repetition penalty, frequency and presence penalty, logit bias, temperature, top-k,
// top-p, min-p, softmax, draw. docs/sampling.md has the arithmetic of each.
struct SamplingParams {
  double temperature = 0.0;         // 0: greedy (argmax after the penalties; the lowest index wins a tie)
  std::int64_t top_k = 0;           // 0: off; every tie at the k-th value is kept
  double top_p = 1.0;               // 1: off; ascending sum, drops while cumulative <= 1 - p, keeps the last
  double min_p = 0.0;               // 0: off; drops probabilities < min_p * largest
  double repetition_penalty = 1.0;  // 1: off; once per distinct token, positive / p, negative * p
  double presence_penalty = 0.0;    // 0: off; subtracted once from each token generated so far
  double frequency_penalty = 0.0;   // 0: off; subtracted once for each time that it was generated
  std::vector<LogitBias> logit_bias{};  // each token once
  bool operator==(const SamplingParams&) const = default;
};

// Throws Error for a NaN, negative or infinite temperature, top_p or min_p outside [0, 1], negative top_k,
// repetition_penalty <= 0, presence or frequency penalties that are not finite, a bias that is NaN or +inf,
// and a token with two biases.
void validate(const SamplingParams& params);

// What one token is chosen from. Nothing is kept of it.
struct SamplingStep {
  // [vocab]; f32, bf16 or f16: widened to f32 first. On the host, or on the device of the engine that made
  // the sampler.
  TensorView logits;
  std::span<const TokenId> history;  // all tokens so far: the prompt's and the generated ones
  std::int64_t generated = 0;        // how many at the end of `history` were generated
  // In [0, 1). Decides the draw by inverse CDF over the kept tokens in id order: the first whose cumulative
  // probability (f64) exceeds it, the last positive one if none does. nullopt: from the sampler's own stream.
  std::optional<double> uniform{};
  std::uint64_t row = 0;   // of a batch: a stream of its own, and named in errors
  std::uint64_t step = 0;  // the number of this draw in its row's stream
};

// Throws Error for no logits, a dtype that is none of the three, token ids in the history or in the biases
// that lie outside the vocabulary, a uniform outside [0, 1); InternalError for a `generated` beyond the
// history.
void validate(const SamplingStep& step, const SamplingParams& params);

class Sampler {
 public:
  virtual ~Sampler() = default;
  // Chooses a token. Emits the sample.* probes (layer -1, sequence 0), [vocab] f32 with -inf where dropped;
  // greedy emits .logits, .penalized and .token only. Throws what the two validate() throw, and Error, before
  // anything is drawn, for logits with a NaN, none above -inf, or, unless greedy, one that is +inf.
  virtual TokenId sample(const SamplingStep& step, const SamplingParams& params, ProbeSink& sink) = 0;
  // Whether the logits may lie on the device of the engine that made it; else they must be on the host.
  virtual bool takes_device_logits() const { return false; }
};

}  // namespace plumbline
