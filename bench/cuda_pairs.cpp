#include "bench/cuda_pairs.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include <fmt/format.h>

namespace plumbline::bench {

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(std::lround(q * static_cast<double>(values.size() - 1)))];
}

bool tell(const std::string& name, const Pairs& pairs, std::optional<double> target, double unit,
          const std::string& unit_name) {
  const double median = quantile(pairs.shares, 0.5);
  const bool reached = !target || median >= *target;
  fmt::print(
      "{:<26} {:.1f} % of the limit (median of {} pairs, quartiles {:.1f}-{:.1f}{}{})  {}: {:.1f} of "
      "{:.1f}\n",
      name, 100 * median, pairs.shares.size(), 100 * quantile(pairs.shares, 0.25),
      100 * quantile(pairs.shares, 0.75), target ? fmt::format("; target {:.0f}", 100 * *target) : "",
      reached ? "" : ", MISSED", unit_name, quantile(pairs.engine, 0.5) / unit,
      quantile(pairs.limit, 0.5) / unit);
  std::fflush(stdout);
  return reached;
}

}  // namespace plumbline::bench
