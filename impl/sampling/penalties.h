// What changes the logits of chosen tokens before anything else: the repetition penalty over the whole
// history, frequency and presence penalty over the generated tokens, then the biases. f32, each step rounded.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "harness/sampling.h"

namespace plumbline::native {

class Penalties {
 public:
  static bool any(const SamplingParams& params);
  // scores: [vocab]; token ids must lie in it. `generated` of the history's last tokens were generated.
  void apply(std::span<float> scores, std::span<const TokenId> history, std::int64_t generated,
             const SamplingParams& params);

 private:
  void count(std::span<const TokenId> tokens, std::size_t vocab);

  std::vector<std::int32_t> counts_;  // [vocab], all 0 but for the tokens in distinct_
  std::vector<TokenId> distinct_;
};

}  // namespace plumbline::native
