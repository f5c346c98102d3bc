// The filters of the sampler chain.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "impl/sampling/candidates.h"

namespace plumbline::native {

// Takes the k largest of [vocab] scores, and every tie of the k-th; k >= 1. No NaN.
class TopK {
 public:
  void take(std::span<const float> scores, std::int64_t k, Candidates& candidates);

 private:
  std::vector<float> block_largest_, work_;
};

// Sorts ascending, equal scores by id, and drops while the cumulative probability is at most 1 - p; the last
// is always kept. p in [0, 1). Nothing is sorted but what lies near the cut. Weights are summed in f64 and
// compared with (1 - p) times their sum: where they and p are sums of a few powers of two, the cut is exact.
class TopP {
 public:
  void keep(double p, Candidates& candidates);

 private:
  struct Place {
    float score;
    std::uint32_t index;  // among the candidates, which lie in id order
    double weight;
  };
  // Ascending, equal scores by id.
  static bool before(const Place& a, const Place& b);
  Place at(std::size_t index, Candidates& candidates) const;
  // Puts into near_ the candidates among which the cut lies, but not `always`; adds the weight below them to
  // `below`. Whether the sum is known to exceed the limit among them.
  bool narrow(double limit, std::size_t always, Candidates& candidates, double& below);
  // The first of near_ with which the sum exceeds the limit, the last where that is known but for rounding;
  // nullopt where the sum of all does not. Empties near_ of most.
  std::optional<Place> first_kept(double below, double limit, bool crosses);

  std::vector<Place> near_;
  std::vector<std::uint16_t> bucket_of_;  // each candidate's
  std::vector<double> bucket_weight_;
};

// Drops probabilities below min_p times the largest.
void keep_min_p(double min_p, Candidates& candidates);

// The first candidate whose cumulative probability, in f64 and id order, exceeds `uniform`; the last positive
// one if none does.
TokenId draw(std::span<const TokenId> ids, std::span<const float> probabilities, double uniform);

}  // namespace plumbline::native
