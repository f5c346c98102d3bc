// Matrix products over weights of a half type: part of impl/cpu/lane_kernels.h. Each sum takes the terms of
// lane_matmul.h in its order, so it has the bits of a product over the widened weights.
#pragma once

#include "impl/cpu/lane_matmul.h"

namespace plumbline::native {
namespace {

// A block's part of the weights of outputs [first_out, last_out), widened into `wide`: args that still count
// features and outputs from the first.
template <typename L, typename Half>
MatmulArgs widened_panel(const MatmulOf<Half>& args, const DepthBlock& block, std::int64_t first_out,
                         std::int64_t last_out, float* wide) {
  const std::int64_t rest = (block.end - block.begin) % kLanes;
  const std::int64_t whole = block.end - rest;
  const std::int64_t stride = whole - block.begin + (rest > 0 ? kLanes : 0);
  for (std::int64_t out = first_out; out < last_out; ++out) {
    const Half* from = args.w + out * args.w_stride;
    float* to = wide + (out - first_out) * stride;
    for (std::int64_t k = block.begin; k < whole; k += kLanes, to += kLanes) L::store(to, L::load(from + k));
    if (rest > 0) L::store(to, L::load_first(from + whole, rest));
  }
  return {args.x, args.x_stride, args.rows,  wide - first_out * stride - block.begin,
          stride, last_out,      args.depth, args.bias,
          args.y, args.y_stride};
}

// The widened panel is used for all rows.
template <typename L, typename Half>
void matmul_by_outs(const MatmulOf<Half>& args) {
  alignas(64) float wide[kPanelOuts * kDepthBlock];
  const DepthBlock all{0, args.depth, true, true};
  for (std::int64_t out = 0; out < args.outs; out += kPanelOuts) {
    const std::int64_t last_out = out + kPanelOuts < args.outs ? out + kPanelOuts : args.outs;
    const MatmulArgs panel = widened_panel<L>(args, all, out, last_out, wide);
    for (std::int64_t first = 0; first < args.rows; first += kPanelRows) {
      const std::int64_t last = first + kPanelRows < args.rows ? first + kPanelRows : args.rows;
      matmul_panel<L>(panel, all, first, last, out, last_out, nullptr);
    }
  }
}

// Where the depth is cut up, for as many rows as may wait with their lanes.
template <typename L, typename Half>
void matmul_by_rows(const MatmulOf<Half>& args) {
  alignas(64) float lanes[kPanelRows * kPanelOuts * kLanes];
  alignas(64) float wide[kPanelOuts * kDepthBlock];
  const std::int64_t step = block_depth(args.depth);
  // Panels of about as many rows.
  std::int64_t panels = (args.rows + kPanelRows - 1) / kPanelRows;
  for (std::int64_t first = 0; first < args.rows; --panels) {
    const std::int64_t last = first + (args.rows - first + panels - 1) / panels;
    for (std::int64_t out = 0; out < args.outs; out += kPanelOuts) {
      const std::int64_t last_out = out + kPanelOuts < args.outs ? out + kPanelOuts : args.outs;
      for (std::int64_t k = 0; k < args.depth; k += step) {
        const std::int64_t end = k + step < args.depth ? k + step : args.depth;
        const DepthBlock block{k, end, k == 0, end == args.depth};
        matmul_panel<L>(widened_panel<L>(args, block, out, last_out, wide), block, first, last, out, last_out,
                        lanes);
      }
    }
    first = last;
  }
}

// Few rows widen weights in registers, as they stream past.
template <typename L, typename Half>
void matmul_half(const MatmulOf<Half>& args) {
  if (args.rows <= L::kRows) {
    matmul_panel<L>(args, DepthBlock{0, args.depth, true, true}, 0, args.rows, 0, args.outs, nullptr);
  } else if (args.depth <= kDepthBlock) {
    matmul_by_outs<L>(args);
  } else {
    matmul_by_rows<L>(args);
  }
}

}  // namespace
}  // namespace plumbline::native
