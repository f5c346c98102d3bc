// The bound of a sum by docs/tolerances.md, for tests of attention.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

namespace plumbline::native::cuda::testing {

// docs/tolerances.md: the sum of the terms in natural order, and B of it without what is beside the sum.
struct Sum {
  double value = 0;
  double bound = 0;
};
inline constexpr double kUnit = 1.0 / (1 << 24);
inline Sum sum_of(const std::vector<double>& terms) {
  double sum = 0, least = 0, most = 0, squares = 0;
  for (std::size_t i = 0; i < terms.size(); ++i) {
    sum += terms[i];
    squares += terms[i] * terms[i];
    if ((i + 1) * 16 / terms.size() != i * 16 / terms.size()) {
      least = std::min(least, sum);
      most = std::max(most, sum);
    }
  }
  return {sum, kUnit * std::sqrt(static_cast<double>(terms.size())) * (most - least + std::sqrt(squares))};
}

}  // namespace plumbline::native::cuda::testing
