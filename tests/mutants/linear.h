// Matrix products of the third forward pass.
#pragma once

#include "tests/mutants/format.h"
#include "tests/mutants/mistakes.h"
#include "tests/mutants/numbers.h"

namespace plumbline::mutants {

// Weight and bias of a linear layer; `bias` is empty where it has none.
struct Linear {
  Rows weight;  // [outputs, inputs]
  std::vector<float> bias;
};

// Sum of a[i] b[i], one rounding for each product and each sum.
float dot(const float* a, const float* b, int n, SumOrder order);

// x: [tokens, inputs] -> [tokens, outputs], not rounded yet.
Rows linear(const Rows& x, const Linear& layer, SumOrder order, Mistake planted = Mistake::none,
            const Format& format = {});

}  // namespace plumbline::mutants
