#include <algorithm>
#include <functional>
#include <limits>

#include "impl/sampling/filters.h"

namespace plumbline::native {
namespace {

// The k-th largest, k >= 1; reorders `values`.
float kth_largest(std::vector<float>& values, std::int64_t k) {
  const auto kth = values.begin() + (k - 1);
  std::nth_element(values.begin(), kth, values.end(), std::greater<>());
  return *kth;
}

float largest_of(std::span<const float> block) {
  constexpr std::size_t kLanes = 16;
  float lanes[kLanes];
  std::fill_n(lanes, kLanes, block[0]);
  std::size_t i = 0;
  for (; i + kLanes <= block.size(); i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      lanes[lane] = block[i + lane] > lanes[lane] ? block[i + lane] : lanes[lane];
    }
  }
  for (; i < block.size(); ++i) lanes[0] = std::max(lanes[0], block[i]);
  return *std::max_element(lanes, lanes + kLanes);
}

}  // namespace

void TopK::take(std::span<const float> scores, std::int64_t k, Candidates& candidates) {
  if (k >= static_cast<std::int64_t>(scores.size())) return candidates.take_all(scores);
  work_.reserve(scores.size());
  block_largest_.clear();
  for (std::size_t begin = 0; begin < scores.size(); begin += Candidates::kBlock) {
    block_largest_.push_back(
        largest_of(scores.subspan(begin, std::min(Candidates::kBlock, scores.size() - begin))));
  }
  // At least k scores reach the k-th largest of the blocks' largest: the k-th of all is among those that do.
  if (k <= static_cast<std::int64_t>(block_largest_.size())) {
    work_.assign(block_largest_.begin(), block_largest_.end());
    const float at_least = kth_largest(work_, k);
    if (at_least > -std::numeric_limits<float>::infinity()) {  // else whole blocks are dropped
      candidates.take_at_least(at_least, scores, block_largest_);
      work_.assign(candidates.scores().begin(), candidates.scores().end());
      const float threshold = kth_largest(work_, k);
      candidates.filter([&](std::size_t i) { return candidates.scores()[i] >= threshold; });
      return;
    }
  }
  work_.assign(scores.begin(), scores.end());
  const float threshold = kth_largest(work_, k);
  if (threshold == -std::numeric_limits<float>::infinity()) return candidates.take_all(scores);
  candidates.take_at_least(threshold, scores, block_largest_);
}

}  // namespace plumbline::native
