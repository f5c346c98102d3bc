// Philox4x32-10, a counter-based random number generator: any draw is computed directly from its number, so
// draws do not depend on what was drawn before (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3",
// SC 2011).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace plumbline::native {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

// Ten rounds.
PhiloxCounter philox4x32(PhiloxCounter counter, PhiloxKey key);

// Uniform in [0, 1) with 53 random bits, for draw `step` of sequence `row`. Key: seed; counter: step, row.
double uniform(std::uint64_t seed, std::uint64_t row, std::uint64_t step);

// The draws of one row, one after the other. Three numbers are its whole state.
struct UniformStream {
  std::uint64_t seed = 0;
  std::uint64_t row = 0;
  std::uint64_t step = 0;  // of the next draw

  double next() { return uniform(seed, row, step++); }
  std::string save() const;  // "philox4x32-10 SEED ROW STEP"
  // What save() gave; throws Error for any other text.
  static UniformStream restore(std::string_view text);
  bool operator==(const UniformStream&) const = default;
};

}  // namespace plumbline::native
