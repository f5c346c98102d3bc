// The dense stages of the sampler chain, over all logits of the vocabulary: [vocab] f32 on the host, -inf
// where dropped.
#pragma once

#include <cstdint>
#include <span>

#include "harness/model.h"
#include "harness/tensor.h"

namespace plumbline::native {

// f32, bf16 or f16, widened exactly. out: [vocab].
void widen(const TensorView& logits, std::span<float> out);

struct Census {
  std::int64_t nans = 0;
  float largest = 0;  // of those that are numbers; -inf where there are none
};
Census take_census(std::span<const float> scores);

void scale_by_temperature(std::span<float> scores, double temperature);

// The lowest index of the largest. No NaN; not empty.
TokenId argmax(std::span<const float> scores);

}  // namespace plumbline::native
