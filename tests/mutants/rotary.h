// Rotary position embedding of the third forward pass.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/mutants/checkpoint.h"
#include "tests/mutants/format.h"
#include "tests/mutants/mistakes.h"
#include "tests/mutants/numbers.h"

namespace plumbline::mutants {

struct Wave {
  Rows cos, sin;  // [tokens, head_dim], the second half repeats the first
};

// [head_dim / 2]: theta^(-2i / head_dim), with YaRN's ramp where the architecture has one.
std::vector<float> inverse_frequencies(const Architecture& architecture, Mistake planted);

// Of the f32 angles position * frequency.
Wave wave_of(const Architecture& architecture, const std::vector<float>& frequencies,
             const std::vector<std::int64_t>& positions, Mistake planted, const Format& format);

// One head, [head_dim], at one token: (x1, x2) -> (x1 cos - x2 sin, x2 cos + x1
// sin) for the halves x1, x2. The sums are not rounded yet.
void rotate(float* head, int head_dim, const float* cos, const float* sin, Mistake planted,
            const Format& format);

}  // namespace plumbline::mutants
