// The stages of the sampler chain, one function each. `logits` are [vocab] f32, -inf where dropped.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "harness/model.h"

namespace plumbline::native {

// Once per distinct token of `history`: a negative logit is multiplied, any other divided. Ids outside the
// vocabulary are left alone.
void penalize_repetition(std::span<float> logits, std::span<const TokenId> history, double penalty);
void scale_by_temperature(std::span<float> logits, double temperature);
// Keeps the k largest and every tie of the k-th.
void keep_top_k(std::span<float> logits, std::int64_t k);
// Sorts ascending (equal logits by id), drops while the cumulative probability, in f64, is at most 1 - p; the
// last is always kept. p in [0, 1).
void keep_top_p(std::span<float> logits, double p);
// Drops probabilities below min_p times the largest.
void keep_min_p(std::span<float> logits, double min_p);
// f32; the sum in f64, in id order.
std::vector<float> softmax(std::span<const float> logits);
// The lowest index of the largest.
TokenId argmax(std::span<const float> logits);
// The first token whose cumulative probability, in f64 and id order, exceeds `uniform`; the last positive one
// if none does.
TokenId draw(std::span<const float> probs, double uniform);

}  // namespace plumbline::native
