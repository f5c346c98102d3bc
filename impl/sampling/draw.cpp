#include "harness/error.h"
#include "impl/sampling/filters.h"

namespace plumbline::native {

TokenId draw(std::span<const TokenId> ids, std::span<const float> probabilities, double uniform) {
  double cumulative = 0.0;
  TokenId last_positive = -1;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (!(probabilities[i] > 0.0f)) continue;
    cumulative += static_cast<double>(probabilities[i]);
    last_positive = ids[i];
    if (cumulative > uniform) break;
  }
  require(last_positive >= 0, "draw: no token has a probability");
  return last_positive;
}

}  // namespace plumbline::native
