// The limit that each element of an op's output is held to. One place for it: the judge, the worst points and
// the suspects ask the same.
#pragma once

#include <span>
#include <vector>

#include "harness/replay.h"
#include "harness/tolerance.h"

namespace plumbline {

// The tolerance as this replay may be held to it: without its ceiling where that does not hold.
Tolerance tolerance_for(const Replay& replay, Tolerance tolerance);

// |y - expected| <= h + r + lambda B, and at most the tolerance's ceiling times the largest |expected| of the
// row (last axis), or times 1 where that is less. h is half a spacing of `stored` around the expected value
// where that is a half type, else 0; r the replay's roundings within the op (docs/tolerances.md).
class Gates {
 public:
  // bound: B, one for each element in logical order; empty where every element must be equal: gates of 0. An
  // exact tolerance has no lambda: a bound given with it counts once. roundings: as many, or none. What is
  // passed must outlive the gates.
  Gates(const TensorView& expected, std::span<const double> bound, std::span<const double> roundings,
        const Tolerance& tolerance, DType stored);

  // expected: the answer's element at `index`.
  double at(std::int64_t index, double expected) const;

  // Whether infinity, of the sign of `expected`, is what rounding to the stored type may make of it.
  bool may_overflow(std::int64_t index, double expected) const;

  // Whether nothing is known of this element, in a half type: what it was made of has overflowed. `expected`
  // is then NaN, of infinities that were recorded, or the roundings within the op are infinite.
  bool unknown(std::int64_t index, double expected) const;

 private:
  double before_rounding(std::int64_t index) const;  // r + lambda B

  std::span<const double> bound_;
  std::span<const double> roundings_;
  double lambda_ = 1;
  bool half_ = false;
  DType stored_;
  std::int64_t row_length_ = 1;
  std::vector<double> ceilings_;  // by row; empty: none
};

}  // namespace plumbline
