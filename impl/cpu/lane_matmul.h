// Matrix products over a type L that holds 16 f32 lanes: part of impl/cpu/lane_kernels.h, which says what L
// is.
#pragma once

#include "impl/cpu/kernels.h"

namespace plumbline::native {
namespace {

constexpr std::int64_t kLanes = 16;

// Matrix products go through blocks that stay in cache: kPanelRows of x times kPanelOuts of w, kDepthBlock
// features at a time.
constexpr std::int64_t kPanelRows = 48;  // a multiple of every kRows
constexpr std::int64_t kPanelOuts = 32;  // a multiple of every kOuts
constexpr std::int64_t kDepthBlock = 1024;

// Features [begin, end) of a product. Between the blocks of a depth the lanes wait, unadded, in `lanes`: so
// they take their terms in the same order as without blocks.
struct DepthBlock {
  std::int64_t begin;
  std::int64_t end;
  bool first;
  bool last;
};

// The sums of kOuts vectors, each by the tree of kernels.h.
template <typename L, int kOuts>
void lane_sums(const typename L::Vector (&lanes)[kOuts], float* sums) {
  if constexpr (kOuts == L::kOuts && L::kAddsTogether) {
    L::sum_outs(lanes, sums);
  } else {
    for (int o = 0; o < kOuts; ++o) sums[o] = L::sum(lanes[o]);
  }
}

// Where the weights of the next outputs begin, or these where there are no more.
template <int kOuts, typename Weight>
const Weight* next_weights(const MatmulOf<Weight>& args, std::int64_t out) {
  return args.w + (out + 2 * kOuts <= args.outs ? out + kOuts : out) * args.w_stride;
}

// Rows row .. row + kRows and outputs out .. out + kOuts, each with lanes of its own. `lanes`: [kRows, kOuts,
// 16]. kAhead: asks for the weights of the next outputs meanwhile.
template <typename L, int kRows, int kOuts, bool kAhead, typename Weight>
void matmul_tile(const MatmulOf<Weight>& args, const DepthBlock& block, std::int64_t row, std::int64_t out,
                 float* lanes) {
  using Vector = typename L::Vector;
  const float* x = args.x + row * args.x_stride;
  const Weight* w = args.w + out * args.w_stride;
  Vector sums[kRows][kOuts];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int o = 0; o < kOuts; ++o) {
      sums[r][o] = block.first ? L::zero() : L::load(lanes + (r * kOuts + o) * kLanes);
    }
  }
  const Weight* ahead =
      args.ahead == nullptr ? next_weights<kOuts>(args, out) : args.ahead + out * args.depth;
  const std::int64_t ahead_stride = args.ahead == nullptr ? args.w_stride : kLanes;
  const std::int64_t ahead_step = args.ahead == nullptr ? 1 : kOuts;
  const std::int64_t rest = (block.end - block.begin) % kLanes;
  const std::int64_t whole = block.end - rest;
  for (std::int64_t k = block.begin; k < whole; k += kLanes) {
    Vector weights[kOuts];
#pragma GCC unroll 8
    for (int o = 0; o < kOuts; ++o) {
      weights[o] = L::load(w + o * args.w_stride + k);
      if constexpr (kAhead) L::prefetch(ahead + o * ahead_stride + k * ahead_step);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Vector value = L::load(x + r * args.x_stride + k);
#pragma GCC unroll 8
      for (int o = 0; o < kOuts; ++o) sums[r][o] = L::fma(value, weights[o], sums[r][o]);
    }
  }
  if (rest > 0) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Vector value = L::load_first(x + r * args.x_stride + whole, rest);
#pragma GCC unroll 8
      for (int o = 0; o < kOuts; ++o) {
        sums[r][o] = L::fma(value, L::load_first(w + o * args.w_stride + whole, rest), sums[r][o]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    if (!block.last) {
#pragma GCC unroll 8
      for (int o = 0; o < kOuts; ++o) L::store(lanes + (r * kOuts + o) * kLanes, sums[r][o]);
      continue;
    }
    float* y = args.y + (row + r) * args.y_stride + out;
    lane_sums<L, kOuts>(sums[r], y);
    if (args.bias != nullptr) {
#pragma GCC unroll 8
      for (int o = 0; o < kOuts; ++o) y[o] += args.bias[out + o];
    }
  }
}

// The same for a number of rows that is known late: 1 to kMost.
template <typename L, int kMost, int kOuts, bool kAhead, typename Weight>
void matmul_tile_of(std::int64_t rows, const MatmulOf<Weight>& args, const DepthBlock& block,
                    std::int64_t row, std::int64_t out, float* lanes) {
  if constexpr (kMost > 1) {
    if (rows < kMost) return matmul_tile_of<L, kMost - 1, kOuts, kAhead>(rows, args, block, row, out, lanes);
  }
  matmul_tile<L, kMost, kOuts, kAhead>(args, block, row, out, lanes);
}

// `lanes`: [last_row - first_row, kOuts, 16]; null where the depth is not cut up.
template <typename L, int kOuts, typename Weight>
void matmul_rows(const MatmulOf<Weight>& args, const DepthBlock& block, std::int64_t first_row,
                 std::int64_t last_row, std::int64_t out, float* lanes) {
  const auto waiting = [&](std::int64_t at) {
    return lanes == nullptr ? nullptr : lanes + (at - first_row) * kOuts * kLanes;
  };
  std::int64_t row = first_row;
  if (row + 2 * L::kRows <= last_row) {
    matmul_tile<L, L::kRows, kOuts, true>(args, block, row, out, lanes);
    row += L::kRows;
  }
  for (; row + 2 * L::kRows <= last_row; row += L::kRows) {
    matmul_tile<L, L::kRows, kOuts, false>(args, block, row, out, waiting(row));
  }
  // One tile or two, of about as many rows.
  while (row < last_row) {
    const std::int64_t left = last_row - row;
    const std::int64_t rows = left > L::kRows ? (left + 1) / 2 : left;
    if (row == first_row) {
      matmul_tile_of<L, L::kRows, kOuts, true>(rows, args, block, row, out, waiting(row));
    } else {
      matmul_tile_of<L, L::kRows, kOuts, false>(rows, args, block, row, out, waiting(row));
    }
    row += rows;
  }
}

// Rows [first_row, last_row) and outputs [first_out, last_out): at most kPanelRows x kPanelOuts where the
// depth is cut up, since all their lanes wait at once.
template <typename L, typename Weight>
void matmul_panel(const MatmulOf<Weight>& args, const DepthBlock& block, std::int64_t first_row,
                  std::int64_t last_row, std::int64_t first_out, std::int64_t last_out, float* lanes) {
  const std::int64_t lanes_per_out = block.first && block.last ? 0 : (last_row - first_row) * kLanes;
  std::int64_t out = first_out;
  for (; out + L::kOuts <= last_out; out += L::kOuts) {
    matmul_rows<L, L::kOuts>(args, block, first_row, last_row, out,
                             lanes + (out - first_out) * lanes_per_out);
  }
  for (; out < last_out; ++out) {
    matmul_rows<L, 1>(args, block, first_row, last_row, out, lanes + (out - first_out) * lanes_per_out);
  }
}

// Into how long blocks a depth is cut.
inline std::int64_t block_depth(std::int64_t depth) {
  const std::int64_t blocks = (depth + kDepthBlock - 1) / kDepthBlock;
  return ((depth + blocks - 1) / blocks + kLanes - 1) / kLanes * kLanes;
}

template <typename L>
void matmul_in_blocks(const MatmulArgs& args, std::int64_t first_row, std::int64_t last_row) {
  alignas(64) float lanes[kPanelRows * kPanelOuts * kLanes];
  const std::int64_t step = block_depth(args.depth);
  for (std::int64_t out = 0; out < args.outs; out += kPanelOuts) {
    const std::int64_t last_out = out + kPanelOuts < args.outs ? out + kPanelOuts : args.outs;
    for (std::int64_t k = 0; k < args.depth; k += step) {
      const std::int64_t end = k + step < args.depth ? k + step : args.depth;
      const DepthBlock block{k, end, k == 0, end == args.depth};
      matmul_panel<L>(args, block, first_row, last_row, out, last_out, lanes);
    }
  }
}

// Few rows have nothing to gain from blocks: weights stream past them once.
template <typename L>
void matmul(const MatmulArgs& args) {
  for (std::int64_t first = 0; first < args.rows; first += kPanelRows) {
    const std::int64_t last = first + kPanelRows < args.rows ? first + kPanelRows : args.rows;
    if (args.depth > kDepthBlock && last - first > L::kRows) {
      matmul_in_blocks<L>(args, first, last);
    } else {
      matmul_panel<L>(args, DepthBlock{0, args.depth, true, true}, first, last, 0, args.outs, nullptr);
    }
  }
}

}  // namespace
}  // namespace plumbline::native
