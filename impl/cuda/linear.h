// Linear layer: y = x W^T + b, on the device. transformers: torch.nn.Linear in Qwen2Attention, Qwen2MLP and
// lm_head.
//
// ORDER OF SUMS. 256 interleaved f32 lanes along the depth: lane l takes the terms l, l + 256, ..., each by
// one fused multiply-add, from 0; the last, shorter group is padded with zeros. Lanes 8t to 8t + 7 are thread
// t's of a warp. They are added as a tree, l + (l + 4), + 2, + 1 within a thread, then t + (t + 16), + 8, +
// 4, + 2, + 1 across the warp; a bias last. It depends on the depth alone: one row or many, alone or beside
// others, give the same bits, and so do the functions below, whichever is called.
#pragma once

#include <cstdint>

#include "harness/dtype.h"
#include "impl/cuda/launch_shape.h"

namespace plumbline::native::cuda {

inline constexpr int kThreadLanes = 8;
inline constexpr int kSumLanes = kThreadLanes * kWarp;

// On the device, in the storage dtype.
struct LinearLayer {
  const void* weight = nullptr;  // [outs, depth]
  const void* bias = nullptr;    // [outs], or null
  std::int64_t outs = 0;
  std::int64_t depth = 0;
};

// x: [rows, depth]; y: [rows, outs], each rounded to storage once.
void linear(Stream stream, DType storage, const LinearLayer& layer, const void* x, std::int64_t rows,
            void* y);

// Three layers of one input at once, as q, k and v; the bits of three calls.
struct LinearOutput {
  LinearLayer layer;
  void* y = nullptr;
};
void linear_three(Stream stream, DType storage, const LinearOutput (&outputs)[3], const void* x,
                  std::int64_t rows);

// linear(), then residual() onto `stream_rows` [rows, outs]; the same bits.
void linear_residual(Stream stream, DType storage, const LinearLayer& layer, const void* x, std::int64_t rows,
                     void* stream_rows);

// linear() by both layers, then silu_mul(); the same bits. act: [rows, outs].
void linear_silu_mul(Stream stream, DType storage, const LinearLayer& gate, const LinearLayer& up,
                     const void* x, std::int64_t rows, void* act);

// linear(), its rounded outputs as f32: logits [rows, outs].
void linear_logits(Stream stream, DType storage, const LinearLayer& layer, const void* x, std::int64_t rows,
                   float* logits);

}  // namespace plumbline::native::cuda
