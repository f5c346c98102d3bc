// The sampling interface: parameters, and one step of a sampler chain whose every stage is a probe.
#pragma once

#include <cstdint>
#include <span>

#include "harness/engine.h"

namespace plumbline {

// Order of the chain: repetition penalty, temperature, top-k, top-p, min-p, softmax, draw.
struct SamplingParams {
  double temperature = 0.0;         // 0: greedy (argmax after the penalty; the lowest index wins a tie)
  std::int64_t top_k = 0;           // 0: off; every tie at the k-th value is kept
  double top_p = 1.0;               // 1: off; ascending sum, drops while cumulative <= 1 - p, keeps the last
  double min_p = 0.0;               // 0: off; drops probabilities < min_p * largest
  double repetition_penalty = 1.0;  // 1: off; once per distinct token, positive / p, negative * p
  bool operator==(const SamplingParams&) const = default;
};

// Throws Error for NaN or negative temperature, top_p outside [0, 1], negative top_k, min_p outside [0, 1],
// repetition_penalty <= 0.
void validate(const SamplingParams& params);

class Sampler {
 public:
  virtual ~Sampler() = default;
  // Chooses a token from `logits` [vocab]. `history` are all tokens so far (prompt and generated). `uniform`
  // in [0, 1) decides the draw by inverse CDF over the kept tokens in id order: the first whose cumulative
  // probability (f64) exceeds it, the last positive one if none does. Emits the sample.* probes (layer -1,
  // sequence 0); greedy emits .logits, .penalized and .token only. Throws Error for NaN logits, or when every
  // logit is -inf.
  virtual TokenId sample(std::span<const float> logits, std::span<const TokenId> history,
                         const SamplingParams& params, double uniform, ProbeSink& sink) = 0;
};

}  // namespace plumbline
