// Figures of cuda_bench: the engine's beside the device's own, in rounds, and what is told of them.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace plumbline::bench {

double quantile(std::vector<double> values, double q);

// A rate of the engine and one of the device, measured in rounds.
struct Pairs {
  std::vector<double> engine, limit, shares;

  template <typename Engine, typename Limit>
  void add(bool engine_first, const Engine& measure_engine, const Limit& measure_limit) {
    double ours = engine_first ? measure_engine() : 0;
    const double most = measure_limit();
    if (!engine_first) ours = measure_engine();
    engine.push_back(ours);
    limit.push_back(most);
    shares.push_back(ours / most);
  }
};

// One line; true when the target is reached, or there is none.
bool tell(const std::string& name, const Pairs& pairs, std::optional<double> target, double unit,
          const std::string& unit_name);

}  // namespace plumbline::bench
