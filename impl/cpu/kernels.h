// The inner loops that exist once per instruction set, as plain functions behind pointers.
//
// ORDER OF SUMS. Every sum along features is 16 interleaved f32 lanes: lane l takes the terms l, l + 16, …,
// each by one fused multiply-add; the last, shorter group is padded with zeros; then lanes are added as a
// tree, l + (l + 8), l + (l + 4), l + (l + 2), l + (l + 1). So a sum has the same bits on every instruction
// set, for one row or many, whichever thread computes it.
//
// The units that define these are compiled with instruction sets the machine may lack. They include nothing
// but this header, impl/cpu/lane_*.h, impl/exp_lanes.h and intrinsics: an inline function of a shared header,
// emitted there with AVX, could be the copy that the linker keeps for everyone.
#pragma once

#include <cstdint>

namespace plumbline::native {

// y[r, o] = sum over k of x[r, k] * w[o, k], then + bias[o]. Strides count floats between rows.
struct MatmulArgs {
  const float* x;  // [rows, depth]
  std::int64_t x_stride;
  std::int64_t rows;
  const float* w;  // [outs, depth]
  std::int64_t w_stride;
  std::int64_t outs;
  std::int64_t depth;
  const float* bias;  // [outs], or null
  float* y;           // [rows, outs]
  std::int64_t y_stride;
  // [outs * depth], or null: memory that will be read next. Asked for line after line meanwhile: a processor
  // sees that order coming, and the one in which a tile reads rows far apart it does not.
  const float* ahead = nullptr;
};

// Values that follow each other, `stride` floats apart.
struct ValueRun {
  const float* values;  // [keys, dim]
  std::int64_t keys;
  std::int64_t stride;
};

// out[r, d] += sum over keys in [begin, end) of weights[r, key] * values[key, d]: in blocks of 32 keys
// counted from key 0, sequential fused multiply-adds within a block, then the blocks' sums one after the
// other. Places outside [begin, end) are not read. Keys count through the runs, so a block may lie in two of
// them.
struct WeightedSumArgs {
  const float* weights;  // [rows, keys]
  const ValueRun* runs;  // of `end` keys at least
  std::int64_t begin;
  std::int64_t end;
  std::int64_t dim;
  float* out;  // [rows, dim]
  std::int64_t rows = 1;
  std::int64_t weights_stride = 0;
  std::int64_t out_stride = 0;
  const float* ahead = nullptr;  // [end - begin, dim], or null: as in MatmulArgs
};

// probs[i] = exp(scores[i] * scale - the largest of them) / their sum: the exponential of impl/exp_lanes.h,
// the sum in f64 as four interleaved ones, added in order. `probs` may be `scores`.
struct SoftmaxArgs {
  const float* scores;  // [count], at least one
  float* probs;         // [count]
  std::int64_t count;
  float scale;
};

struct Kernels {
  const char* name;  // "avx512", "avx2", "scalar"
  void (*matmul)(const MatmulArgs& args);
  float (*sum_squares)(const float* x, std::int64_t count);
  void (*weighted_sum)(const WeightedSumArgs& args);
  void (*softmax)(const SoftmaxArgs& args);
};

extern const Kernels kScalarKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
#endif

}  // namespace plumbline::native
