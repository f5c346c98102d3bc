// Checks that are no replay of an op: figures against a gate, tensors bit for bit, final logits against
// truth.
#pragma once

#include <string>
#include <vector>

#include "harness/metrics.h"
#include "harness/report.h"
#include "harness/tolerance.h"

namespace plumbline {

// Passes when `measured` is finite and at most `gate`; a gate of 0 asks for exactly 0.
Check check_at_most(std::string what, std::string subject, std::string metric, double measured, double gate);

// Largest difference over all elements; shapes must be equal and not empty to pass.
Check check_close(std::string what, std::string subject, const TensorView& actual, const TensorView& expected,
                  double gate);

// Same dtype, shape and bits (so that -0 and +0 differ); not empty.
Check check_same_bits(std::string what, std::string subject, const TensorView& actual,
                      const TensorView& expected);

// Logits [rows, vocab] against their truth: max abs within `gate_max`, times max(1, largest |expected| of the
// row), and mean abs within `gate_mean`, likewise scaled by the rows' mean scale. Two checks.
std::vector<Check> check_logits(const std::string& subject, const TensorView& actual,
                                const TensorView& expected, double gate_max, double gate_mean);

// Rows [.., n] of probabilities: how far the sum of each is from 1, in f64, the largest over the rows.
Check check_sums_to_one(std::string what, std::string subject, const TensorView& probabilities, double gate);

// Two draws by inverse CDF from the same uniform. Different tokens are a tie-flip, skipped with its margin,
// where the uniform lies within rounding of every edge of the cumulative distribution between the two; else a
// failure. `expected` are the probabilities in f64 [vocab], `bound` how far each side's may be off.
Check check_same_draw(std::string what, std::string subject, std::int64_t actual_token,
                      std::int64_t expected_token, const TensorView& expected, const TensorView& bound,
                      double lambda, double uniform);

// Largest |weight| at places that `allowed` forbids; both [.., queries, keys], `allowed` repeated over the
// first axis.
Check check_forbidden_weight(std::string what, std::string subject, const TensorView& probabilities,
                             const TensorView& allowed, double gate);

}  // namespace plumbline
