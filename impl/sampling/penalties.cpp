#include "impl/sampling/penalties.h"

namespace plumbline::native {

bool Penalties::any(const SamplingParams& params) {
  return params.repetition_penalty != 1.0 || params.frequency_penalty != 0.0 ||
         params.presence_penalty != 0.0 || !params.logit_bias.empty();
}

void Penalties::count(std::span<const TokenId> tokens, std::size_t vocab) {
  for (const TokenId token : distinct_) counts_[static_cast<std::size_t>(token)] = 0;
  distinct_.clear();
  if (counts_.size() < vocab) {
    counts_.resize(vocab, 0);
    distinct_.reserve(vocab);
  }
  for (const TokenId token : tokens) {
    if (counts_[static_cast<std::size_t>(token)]++ == 0) distinct_.push_back(token);
  }
}

void Penalties::apply(std::span<float> scores, std::span<const TokenId> history, std::int64_t generated,
                      const SamplingParams& params) {
  const auto score_of = [&](TokenId token) -> float& { return scores[static_cast<std::size_t>(token)]; };
  if (params.repetition_penalty != 1.0) {
    const auto penalty = static_cast<float>(params.repetition_penalty);
    count(history, scores.size());
    for (const TokenId token : distinct_) {
      float& score = score_of(token);
      score = score < 0.0f ? score * penalty : score / penalty;
    }
  }
  if (params.frequency_penalty != 0.0 || params.presence_penalty != 0.0) {
    const auto frequency = static_cast<float>(params.frequency_penalty);
    const auto presence = static_cast<float>(params.presence_penalty);
    count(history.last(static_cast<std::size_t>(generated)), scores.size());
    for (const TokenId token : distinct_) {
      float& score = score_of(token);
      score -= frequency * static_cast<float>(counts_[static_cast<std::size_t>(token)]);
      score -= presence;
    }
  }
  for (const LogitBias& each : params.logit_bias) score_of(each.token) += static_cast<float>(each.bias);
}

}  // namespace plumbline::native
