// How far two tensors are apart. All sums in f64, one pass, any strides and dtypes.
#pragma once

#include <cstdint>
#include <span>

#include "harness/tensor.h"

namespace plumbline {

struct ErrorStats {
  std::int64_t compared = 0;   // elements
  std::int64_t different = 0;  // elements not equal in value
  std::int64_t not_finite =
      0;  // NaN or infinity on either side where the other does not hold the same infinity
  std::int64_t first_not_finite = -1;  // logical row-major index
  double max_abs = 0;
  std::int64_t worst = -1;  // logical index of max_abs
  double mean_abs = 0;
  double rms = 0;
  double relative_l2 = 0;  // ||actual - expected|| / ||expected||; 0 when both are 0
  double cosine = 1;       // 1 when both are all zero
  double max_ulp = 0;      // |difference| in spacings of `actual`'s dtype at the expected value (f64: of f32)
  double max_abs_expected = 0;
  bool proven_finite() const { return compared > 0 && not_finite == 0; }
};

// Shapes must be equal (InternalError). `allowed` (boolean, same shape) leaves places out where it is false;
// an empty view counts every place. The same infinity on both sides counts as equal.
ErrorStats measure_error(const TensorView& actual, const TensorView& expected,
                         const TensorView& allowed = {});

// One row of logits against another.
struct LogitComparison {
  std::int64_t expected_argmax = -1;  // the lowest index wins a tie
  std::int64_t actual_argmax = -1;
  double expected_margin = 0;  // between the best two expected logits
  double kl = 0;               // KL(softmax(expected) || softmax(actual)), nats
  int top5_shared = 0;         // of the best five (fewer where the vocabulary is smaller)
};
LogitComparison compare_logits(const TensorView& actual, const TensorView& expected);  // [vocab] each

}  // namespace plumbline
