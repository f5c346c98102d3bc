#include "impl/sampling_stages.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <unordered_set>

#include "harness/error.h"

namespace plumbline::native {
namespace {

constexpr float kDropped = -std::numeric_limits<float>::infinity();

}  // namespace

void penalize_repetition(std::span<float> logits, std::span<const TokenId> history, double penalty) {
  const auto factor = static_cast<float>(penalty);
  std::unordered_set<TokenId> seen;
  for (const TokenId token : history) {
    const bool inside = token >= 0 && static_cast<std::size_t>(token) < logits.size();
    if (!inside || !seen.insert(token).second) continue;
    float& logit = logits[static_cast<std::size_t>(token)];
    logit = logit < 0.0f ? logit * factor : logit / factor;
  }
}

void scale_by_temperature(std::span<float> logits, double temperature) {
  const auto divisor = static_cast<float>(temperature);
  for (float& logit : logits) logit /= divisor;
}

void keep_top_k(std::span<float> logits, std::int64_t k) {
  if (k >= static_cast<std::int64_t>(logits.size())) return;
  std::vector<float> sorted(logits.begin(), logits.end());
  const auto kth = sorted.begin() + (k - 1);
  std::nth_element(sorted.begin(), kth, sorted.end(), std::greater<>());
  const float threshold = *kth;
  for (float& logit : logits) {
    if (logit < threshold) logit = kDropped;
  }
}

void keep_top_p(std::span<float> logits, double p) {
  const std::vector<float> probs = softmax(logits);
  std::vector<std::size_t> order(logits.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return logits[a] < logits[b]; });
  order.pop_back();  // the last is always kept
  double cumulative = 0.0;
  for (const std::size_t token : order) {
    cumulative += static_cast<double>(probs[token]);
    if (cumulative > 1.0 - p) break;
    logits[token] = kDropped;
  }
}

void keep_min_p(std::span<float> logits, double min_p) {
  const std::vector<float> probs = softmax(logits);
  const float threshold = static_cast<float>(min_p) * *std::max_element(probs.begin(), probs.end());
  for (std::size_t token = 0; token < logits.size(); ++token) {
    if (probs[token] < threshold) logits[token] = kDropped;
  }
}

std::vector<float> softmax(std::span<const float> logits) {
  const float largest = *std::max_element(logits.begin(), logits.end());
  std::vector<float> probs(logits.size());
  double sum = 0.0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    probs[i] = std::exp(logits[i] - largest);
    sum += static_cast<double>(probs[i]);
  }
  for (float& prob : probs) prob /= static_cast<float>(sum);
  return probs;
}

TokenId argmax(std::span<const float> logits) {
  return static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

TokenId draw(std::span<const float> probs, double uniform) {
  double cumulative = 0.0;
  TokenId last_positive = -1;
  for (std::size_t token = 0; token < probs.size(); ++token) {
    if (!(probs[token] > 0.0f)) continue;
    cumulative += static_cast<double>(probs[token]);
    last_positive = static_cast<TokenId>(token);
    if (cumulative > uniform) break;
  }
  require(last_positive >= 0, "draw: no token has a probability");
  return last_positive;
}

}  // namespace plumbline::native
