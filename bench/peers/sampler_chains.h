// Two other ways to draw a token through temperature, top-k and top-p: what the native sampler's speed is
// measured against (bench/sampler_ratios.h).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "harness/sampling.h"

namespace plumbline::bench {

// transformers' processors as one would write them with LibTorch: topk and masked_fill, sort, softmax, cumsum
// and scatter, softmax, then cumsum in f64 and searchsorted. Without checks, copies or probes.
TokenId torch_chain(std::span<const float> logits, const SamplingParams& params, double uniform);

// Everything sorted first: one radix sort of all scaled logits with their ids, then a walk from the largest.
// It draws in sorted order, so that its tokens are others for the same uniform; its kept set is the same.
// Buffers are kept from call to call.
class SortedChain {
 public:
  TokenId draw(std::span<const float> logits, const SamplingParams& params, double uniform);
  std::int64_t kept() const { return kept_; }  // by the last draw

 private:
  struct Entry {
    std::uint32_t key;  // ascending as the scores descend
    TokenId id;
  };
  void sort();

  std::vector<Entry> entries_, other_;
  std::vector<float> scores_, weights_;
  std::int64_t kept_ = 0;
};

}  // namespace plumbline::bench
