// Checks against goldens that keep only samples of a large tensor, and the error that their maker's own f32
// run made: an f32 run is right when its error is of that size. docs/tolerances.md says why.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "harness/report.h"
#include "harness/tensor.h"

namespace plumbline {

// The elements of `row` [n] at `places`, in f64 [places]. Throws Error for a place that the row does not
// have.
Tensor elements_at(const TensorView& row, std::span<const std::int64_t> places);

// RMS of actual - expected (same shape) within factor * own_rms. Where own_rms is 0 (a copy) it asks for
// equality.
Check check_rms(std::string what, std::string subject, const TensorView& actual, const TensorView& expected,
                double own_rms, double factor);

// The Euclidean norms of `rows` [rows, n] against `norms` [rows]. Since | |a| - |b| | <= |a - b|, an error of
// RMS r in the rows moves the norms by at most r sqrt(n), in RMS over the rows: within factor * own_rms *
// sqrt(n).
Check check_norms(std::string what, std::string subject, const TensorView& rows, const TensorView& norms,
                  double own_rms, double factor);

// No element of `row` [n] outside of `best` is larger than the smallest of `values`, those at `best`, by more
// than `gate`.
Check check_none_better(std::string what, std::string subject, const TensorView& row,
                        std::span<const std::int64_t> best, const TensorView& values, double gate);

}  // namespace plumbline
