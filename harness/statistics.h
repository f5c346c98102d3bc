// Figures about errors, for explanation and never for a verdict: how an error goes with position, along which
// axis of an op's output it sits, where its worst points are. All in f64, one pass over the elements.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "harness/judge.h"
#include "harness/replay.h"
#include "harness/tensor.h"
#include "harness/tolerance.h"

namespace plumbline {

// Pearson's r. `p` is two-sided, by Student's t with n - 2 degrees of freedom: how often samples without any
// correlation reach |r|. It takes the samples for independent, which the errors of neighbouring positions are
// not quite. r is 0 and p is 1 for a constant, for fewer than 3 samples, and where one is not finite.
struct Correlation {
  double r = 0;
  double p = 1;
  std::int64_t n = 0;
};
Correlation correlate(std::span<const double> x, std::span<const double> y);  // as many of each
Correlation correlate_with_index(std::span<const double> y);

// I_x(a, b), the regularised incomplete beta function, a and b > 0, x in [0, 1], to about 1e-14: the
// continued fraction 8.17.22 of the NIST Handbook of Mathematical Functions, by Lentz's method (Applied
// Optics 15, 1976).
double regularised_beta(double a, double b, double x);

// P(|T| >= |t|), T of Student's t with `degrees` > 0 degrees of freedom.
double student_two_sided(double t, double degrees);

// Of those values that are finite and above 0; NaN where there are none.
double geometric_mean(std::span<const double> values);
double median(std::vector<double> values);  // NaN where there are none

// Errors |actual - expected| of the elements at each index along one axis, over all other axes. Elements that
// are not finite on both sides count as infinite, the same infinity on both sides as 0.
struct AxisErrors {
  std::vector<double> max_abs;
  std::vector<double> squares;         // sums of squared errors
  std::vector<std::int64_t> elements;  // that were compared
  double rms(std::int64_t index) const;
};
// One entry for each axis. `allowed` (boolean, same shape) leaves places out; an empty view counts all.
std::vector<AxisErrors> error_by_axis(const TensorView& actual, const TensorView& expected,
                                      const TensorView& allowed = {});

struct WorstPoint {
  Place place;
  double expected = 0, actual = 0, error = 0;
  double gate = 0;   // 0 for exact ops
  double share = 0;  // error / gate; infinite for an error beside a gate of 0
};
// The `count` elements with the largest shares of their gates (docs/tolerances.md), errors of 0 left out, the
// worst first; of equal ones the one that comes first. Shapes must be equal (InternalError).
std::vector<WorstPoint> worst_points(const TensorView& actual, const Replay& replay,
                                     const Tolerance& tolerance, int count = 10);

}  // namespace plumbline
