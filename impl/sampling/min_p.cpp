#include <algorithm>

#include "impl/sampling/filters.h"

namespace plumbline::native {

void keep_min_p(double min_p, Candidates& candidates) {
  const std::span<const float> probabilities = candidates.probabilities();
  const float threshold = static_cast<float>(min_p) * std::ranges::max(probabilities);
  candidates.filter([&](std::size_t i) { return probabilities[i] >= threshold; });
}

}  // namespace plumbline::native
