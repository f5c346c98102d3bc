#include "impl/sampling/candidates.h"

#include <algorithm>
#include <limits>

#include "impl/lanes.h"
#include "impl/sampling/scores.h"

namespace plumbline::native {
namespace {

constexpr float kDropped = -std::numeric_limits<float>::infinity();

}  // namespace

void Candidates::clear() {
  ids_.clear();
  scores_.clear();
  weights_.clear();
}

void Candidates::reserve(std::size_t vocab) {
  if (ids_.capacity() >= vocab) return;
  ids_.reserve(vocab);
  for (std::vector<float>* values : {&scores_, &weights_, &probabilities_}) values->reserve(vocab);
}

void Candidates::take_all(std::span<const float> scores) {
  clear();
  reserve(scores.size());
  ids_.resize(scores.size());
  scores_.resize(scores.size());
  std::size_t taken = 0;
  for (std::size_t id = 0; id < scores.size(); ++id) {  // without a branch, as filter()
    ids_[taken] = static_cast<TokenId>(id);
    scores_[taken] = scores[id];
    taken += scores[id] == kDropped ? 0 : 1;
  }
  ids_.resize(taken);
  scores_.resize(taken);
}

void Candidates::take_at_least(float threshold, std::span<const float> scores,
                               std::span<const float> block_largest) {
  clear();
  reserve(scores.size());
  for (std::size_t block = 0; block < block_largest.size(); ++block) {
    if (block_largest[block] < threshold) continue;
    const std::size_t end = std::min(scores.size(), (block + 1) * kBlock);
    for (std::size_t id = block * kBlock; id < end; ++id) {
      if (scores[id] < threshold) continue;
      ids_.push_back(static_cast<TokenId>(id));
      scores_.push_back(scores[id]);
    }
  }
}

std::span<const float> Candidates::weights() {
  if (weights_.empty() && !scores_.empty()) {
    const float largest = take_census(scores_).largest;
    weights_.resize(scores_.size());
    map_lanes(scores_, weights_, largest,
              [&](const Lanes& score) { return exp_not_positive(score - largest); });
  }
  return weights_;
}

double Candidates::weight_sum() {
  return sum_of(weights());
}

std::span<const float> Candidates::probabilities() {
  const auto divisor = static_cast<float>(weight_sum());
  probabilities_.resize(weights_.size());
  for (std::size_t i = 0; i < weights_.size(); ++i) probabilities_[i] = weights_[i] / divisor;
  return probabilities_;
}

void Candidates::scatter(std::span<float> dense) const {
  std::ranges::fill(dense, kDropped);
  for (std::size_t i = 0; i < ids_.size(); ++i) dense[static_cast<std::size_t>(ids_[i])] = scores_[i];
}

}  // namespace plumbline::native
