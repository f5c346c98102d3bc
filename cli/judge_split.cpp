#include "cli/judge_split.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include <fmt/format.h>

#include "harness/error.h"
#include "reference/config.h"

namespace plumbline::cli {
namespace {

std::vector<std::int64_t> work_of_layers(const ModelConfig& config) {
  const DerivedArchitecture sizes = reference::derive(config);
  const std::int64_t attention = config.hidden_size * (2 * sizes.query_dim + 2 * sizes.key_value_dim);
  const std::int64_t mlp = 3 * config.hidden_size * config.intermediate_size;
  std::vector<std::int64_t> work(static_cast<std::size_t>(config.num_hidden_layers), attention + mlp);
  work.back() += config.vocab_size * config.hidden_size;
  // The embedding's table is read through once, for NaN and infinity: an eighth of a multiplication by it.
  work.front() += config.vocab_size * config.hidden_size / 8;
  return work;
}

// How many runs of consecutive layers there are where none has more work than `most`.
int runs_within(const std::vector<std::int64_t>& work, std::int64_t most) {
  int runs = 1;
  std::int64_t sum = 0;
  for (const std::int64_t each : work) {
    if (sum + each > most) {
      ++runs;
      sum = 0;
    }
    sum += each;
  }
  return runs;
}

}  // namespace

std::pair<int, int> layers_of_rank(const ModelConfig& config, int rank, int ranks) {
  const auto layers = static_cast<int>(config.num_hidden_layers);
  if (ranks < 1 || ranks > layers) {
    throw Error(fmt::format("{} ranks for {} layers", ranks, layers), "--ranks",
                "1 to as many as there are layers");
  }
  if (rank < 0 || rank >= ranks) {
    throw Error(fmt::format("rank {} of {}", rank, ranks), "--rank", fmt::format("0 to {}", ranks - 1));
  }
  const std::vector<std::int64_t> work = work_of_layers(config);
  std::int64_t low = *std::max_element(work.begin(), work.end()), high = 0;
  for (const std::int64_t each : work) high += each;
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (runs_within(work, middle) <= ranks) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  // Filled up one after the other; the ranks that follow need a layer each.
  int first = 0;
  for (int each = 0;; ++each) {
    int last = first;
    std::int64_t sum = work[static_cast<std::size_t>(first)];
    const int latest = layers - (ranks - each);
    while (last < latest && sum + work[static_cast<std::size_t>(last) + 1] <= low) {
      sum += work[static_cast<std::size_t>(++last)];
    }
    if (each == rank) return {first, each + 1 == ranks ? layers - 1 : last};
    first = last + 1;
  }
}

}  // namespace plumbline::cli
