#include "impl/cpu/linear.h"

#include <algorithm>

namespace plumbline::native {
namespace {

// Parts hold whole register tiles of every instruction set.
constexpr std::int64_t kOutsPerPart = 16;

std::int64_t outs_per_part(const CpuContext& context, const LinearWeights& w, std::int64_t rows) {
  const std::int64_t enough = CpuContext::grain(rows * w.depth);
  // With many rows a panel of x is read again for each part: a few large parts per thread are better.
  const std::int64_t share = w.outs / (4 * context.pool.threads());
  const std::int64_t wanted = std::max({enough, share, std::int64_t{1}});
  return (wanted + kOutsPerPart - 1) / kOutsPerPart * kOutsPerPart;
}

}  // namespace

void linear(const CpuContext& context, const LinearWeights& w, const float* x, std::int64_t rows, float* y) {
  if (rows == 0) return;
  const auto part = [&](std::int64_t begin, std::int64_t end) {
    context.kernels.matmul({.x = x,
                            .x_stride = w.depth,
                            .rows = rows,
                            .w = w.weight + begin * w.depth,
                            .w_stride = w.depth,
                            .outs = end - begin,
                            .depth = w.depth,
                            .bias = w.bias == nullptr ? nullptr : w.bias + begin,
                            .y = y + begin,
                            .y_stride = w.outs});
  };
  context.pool.parallel_for(w.outs, outs_per_part(context, w, rows), part);
}

}  // namespace plumbline::native
