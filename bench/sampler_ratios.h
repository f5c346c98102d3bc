// The native sampler's speed beside two other chains, on the same logits, in the same run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace plumbline::bench {

struct Quartiles {
  double low = 0, median = 0, high = 0;
};

// How many times longer the other one takes, from rounds in which all three are timed one after the other.
struct SamplerRatios {
  std::string what;
  double microseconds = 0;  // of the native chain, median
  Quartiles torch, full_sort;
  double torch_target = 0, full_sort_target = 0;  // least medians; 0: none
  std::int64_t kept = 0, kept_apart = 0;  // by the native chain; how many fewer or more the full sort keeps
};

// Qwen2's vocabulary of 151,936: temperature 0.7, top-k 20, top-p 0.8 on ordinary logits; and top-p 0.95
// alone on flat ones, of which it keeps nearly all. Throws InternalError where the native chain and
// LibTorch's draw another token.
std::vector<SamplerRatios> measure_sampler(int rounds);

}  // namespace plumbline::bench
