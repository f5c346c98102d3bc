// The reference's sampler: transformers' logits processors, in their order and their dtype (f32), by
// LibTorch's sort, cumsum, topk and softmax.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "harness/sampling.h"

namespace plumbline::reference {

// A draw without a given uniform is at::multinomial's, from one generator seeded with `seed` for all rows and
// steps: then there is no .noise probe. For one thread at a time.
std::unique_ptr<Sampler> make_sampler(std::uint64_t seed = 0);

// at::multinomial with replacement, from a generator of its own seeded with `seed`. probabilities: [vocab],
// not negative, not all zero (Error otherwise); draws >= 1.
std::vector<TokenId> multinomial(std::span<const float> probabilities, std::int64_t draws,
                                 std::uint64_t seed);

}  // namespace plumbline::reference
