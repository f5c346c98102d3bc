#include "tests/mutants/linear.h"

#include <algorithm>

namespace plumbline::mutants {
namespace {

constexpr int kTile = 4;   // outputs that a kernel makes at a time, in the mistakes about tiles
constexpr int kLanes = 8;  // products that it takes at a time, in those about tails

// One output with a mistake in its sum.
float wrong_dot(const float* x, const float* w, int n, SumOrder order, Mistake planted,
                const Format& format) {
  switch (planted) {
    case Mistake::product_lost:
      return dot(x, w, n - 1, order);
    case Mistake::tail_lanes_lost:
      return dot(x, w, n / kLanes * kLanes, order);
    case Mistake::second_half_lost:
      return dot(x, w, n / 2, order);
    case Mistake::partial_sums_rounded:
      return format.stored(dot(x, w, n / 2, order)) +
             format.stored(dot(x + n / 2, w + n / 2, n - n / 2, order));
    case Mistake::rounded_before_bias:
      return format.stored(dot(x, w, n, order));
    default:
      break;
  }
  float sum = 0;
  for (int i = 0; i < n; ++i) {
    if (planted == Mistake::linear_in_tf32) sum += to_tf32(x[i]) * to_tf32(w[i]);
    if (planted == Mistake::weights_in_bf16) sum += x[i] * to_bf16(w[i]);
    if (planted == Mistake::sum_in_f16) sum = to_f16(sum + x[i] * w[i]);
    if (planted == Mistake::sum_in_storage) sum = format.stored(sum + x[i] * w[i]);
  }
  return sum;
}

bool in_sum(Mistake planted) {
  return planted == Mistake::product_lost || planted == Mistake::tail_lanes_lost ||
         planted == Mistake::second_half_lost || planted == Mistake::linear_in_tf32 ||
         planted == Mistake::weights_in_bf16 || planted == Mistake::sum_in_f16 ||
         planted == Mistake::sum_in_storage || planted == Mistake::partial_sums_rounded ||
         planted == Mistake::rounded_before_bias;
}

float bias_of(const Linear& layer, int token, int output, Mistake planted) {
  if (layer.bias.empty()) return 0;
  const float bias = layer.bias[static_cast<std::size_t>(output)];
  if (planted == Mistake::bias_twice) return bias + bias;
  if (planted == Mistake::bias_for_first_token && token > 0) return 0;
  return bias;
}

}  // namespace

float dot(const float* a, const float* b, int n, SumOrder order) {
  float lanes[4] = {};
  for (int i = 0; i < n; ++i) {
    const int term = order == SumOrder::backwards ? n - 1 - i : i;
    lanes[order == SumOrder::four_lanes ? i % 4 : 0] += a[term] * b[term];
  }
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

Rows linear(const Rows& x, const Linear& layer, SumOrder order, Mistake planted, const Format& format) {
  const int outputs = layer.weight.rows, inputs = layer.weight.columns;
  Rows y(x.rows, outputs);
  for (int t = 0; t < x.rows; ++t) {
    for (int o = 0; o < outputs; ++o) {
      const float* w = layer.weight.row(o);
      const float sum = in_sum(planted) ? wrong_dot(x.row(t), w, inputs, order, planted, format)
                                        : dot(x.row(t), w, inputs, order);
      y.row(t)[o] = sum + bias_of(layer, t, o, planted);
      if (planted == Mistake::output_not_cleared && t > 0) y.row(t)[o] += y.row(t - 1)[o];
      if (planted == Mistake::tile_rows_lost && o >= outputs / kTile * kTile) y.row(t)[o] = 0;
    }
  }
  if (planted == Mistake::last_token_repeated && x.rows > 1) {
    std::copy_n(y.row(x.rows - 2), outputs, y.row(x.rows - 1));
  }
  return y;
}

}  // namespace plumbline::mutants
