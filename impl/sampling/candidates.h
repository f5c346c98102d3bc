// The tokens that are still in the running: the sparse half of the sampler chain.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "harness/model.h"

namespace plumbline::native {

// Parallel arrays in id order; every score is above -inf. After the first filter only what it kept is looked
// at again.
class Candidates {
 public:
  // All of [vocab] above -inf. Weights are computed anew.
  void take_all(std::span<const float> scores);
  // Those of at least `threshold`, which is above -inf, from blocks of kBlock scores whose largest reaches
  // it.
  void take_at_least(float threshold, std::span<const float> scores, std::span<const float> block_largest);
  static constexpr std::size_t kBlock = 64;

  std::size_t size() const { return ids_.size(); }
  std::size_t capacity() const { return ids_.capacity(); }  // at least the largest vocabulary so far
  std::span<const TokenId> ids() const { return ids_; }
  std::span<const float> scores() const { return scores_; }

  // exp(score - largest), f32. The largest is never dropped: later filters leave the weights as they are.
  std::span<const float> weights();
  double weight_sum();  // in f64, as four interleaved sums in id order
  // The softmax, f32: each weight over their sum. Valid until the next call.
  std::span<const float> probabilities();

  // Keeps candidate i where keep(i).
  template <typename Keep>
  void filter(const Keep& keep);
  // dense: [vocab], -inf where dropped.
  void scatter(std::span<float> dense) const;

 private:
  void clear();
  void reserve(std::size_t vocab);

  std::vector<TokenId> ids_;
  std::vector<float> scores_, weights_, probabilities_;
};

// Without a branch: what is written beyond `kept` is overwritten or cut off.
template <typename Keep>
void Candidates::filter(const Keep& keep) {
  weights();
  std::size_t kept = 0;
  for (std::size_t i = 0; i < ids_.size(); ++i) {
    const bool keeps = keep(i);
    ids_[kept] = ids_[i];
    scores_[kept] = scores_[i];
    weights_[kept] = weights_[i];
    kept += keeps ? 1 : 0;
  }
  ids_.resize(kept);
  scores_.resize(kept);
  weights_.resize(kept);
}

}  // namespace plumbline::native
