#include <limits>

#include <ATen/ATen.h>

#include "bench/peers/sampler_chains.h"

namespace plumbline::bench {

TokenId torch_chain(std::span<const float> logits, const SamplingParams& params, double uniform) {
  const at::InferenceMode no_autograd;
  constexpr double kDropped = -std::numeric_limits<double>::infinity();
  const auto vocab = static_cast<std::int64_t>(logits.size());
  // Nothing writes through it: division makes a tensor of its own.
  const at::Tensor given = at::from_blob(const_cast<float*>(logits.data()), {vocab}, at::kFloat);
  at::Tensor scores = given / params.temperature;
  if (params.top_k > 0 && params.top_k < vocab) {
    const at::Tensor kth = std::get<0>(at::topk(scores, params.top_k))[-1];
    scores.masked_fill_(scores < kth, kDropped);
  }
  if (params.top_p < 1) {
    const auto [sorted, order] = at::sort(scores);
    const at::Tensor dropped = at::softmax(sorted, -1).cumsum_(-1) <= 1 - params.top_p;
    dropped[-1].fill_(false);
    scores.masked_fill_(at::empty_like(dropped).scatter_(0, order, dropped), kDropped);
  }
  const at::Tensor cumulative = at::softmax(scores, -1).cumsum(-1, at::kDouble);
  const at::Tensor at_uniform = at::scalar_tensor(uniform, at::kDouble);
  return static_cast<TokenId>(
      at::searchsorted(cumulative, at_uniform, /*out_int32=*/false, /*right=*/true).item<std::int64_t>());
}

}  // namespace plumbline::bench
