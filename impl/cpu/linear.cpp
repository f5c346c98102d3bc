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

void matmul(const Kernels& kernels, const MatmulOf<float>& args) {
  kernels.matmul(args);
}
void matmul(const Kernels& kernels, const MatmulOf<Bf16>& args) {
  kernels.matmul_bf16(args);
}
void matmul(const Kernels& kernels, const MatmulOf<F16>& args) {
  kernels.matmul_f16(args);
}

// Outputs [begin, end) of all rows.
template <typename Weight>
void linear_part(const CpuContext& context, const LinearWeights& w, const Weight* weight, const float* x,
                 std::int64_t rows, std::int64_t begin, std::int64_t end, float* y) {
  const MatmulOf<Weight> args{.x = x,
                              .x_stride = w.depth,
                              .rows = rows,
                              .w = weight + begin * w.depth,
                              .w_stride = w.depth,
                              .outs = end - begin,
                              .depth = w.depth,
                              .bias = w.bias == nullptr ? nullptr : w.bias + begin,
                              .y = y + begin,
                              .y_stride = w.outs};
  matmul(context.kernels, args);
  for (std::int64_t row = 0; row < rows; ++row) context.store(y + row * w.outs + begin, end - begin);
}

}  // namespace

void linear(const CpuContext& context, const LinearWeights& w, const float* x, std::int64_t rows, float* y) {
  if (rows == 0) return;
  const auto part = [&](std::int64_t begin, std::int64_t end) {
    std::visit([&](const auto* weight) { linear_part(context, w, weight, x, rows, begin, end, y); },
               w.weight);
  };
  context.pool.parallel_for(w.outs, outs_per_part(context, w, rows), part);
}

}  // namespace plumbline::native
