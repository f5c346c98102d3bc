// The inner loops that exist once per instruction set, as plain functions behind pointers.
//
// ORDER OF SUMS. Every sum along features is 16 interleaved f32 lanes: lane l takes the terms l, l + 16, …,
// each by one fused multiply-add; the last, shorter group is padded with zeros; then lanes are added as a
// tree, l + (l + 8), l + (l + 4), l + (l + 2), l + (l + 1). So a sum has the same bits on every instruction
// set, for one row or many, whichever thread computes it. Weights of half a float are widened, which is
// exact, in registers or, for many rows, in cache: a sum's bits are those over the widened weights in f32.
//
// The units that define these are compiled with instruction sets the machine may lack. They include nothing
// but this header, impl/cpu/lane_*.h, impl/exp_lanes.h and intrinsics: an inline function of a shared header,
// emitted there with AVX, could be the copy that the linker keeps for everyone.
#pragma once

#include <cstdint>

namespace plumbline::native {

// Bits of half a float; what they are a number of.
struct Bf16 {
  std::uint16_t bits;
};
struct F16 {
  std::uint16_t bits;
};

// y[r, o] = sum over k of x[r, k] * w[o, k], then + bias[o]. Strides count elements between rows. Weight:
// float, Bf16 or F16.
template <typename Weight>
struct MatmulOf {
  const float* x;  // [rows, depth]
  std::int64_t x_stride;
  std::int64_t rows;
  const Weight* w;  // [outs, depth]
  std::int64_t w_stride;
  std::int64_t outs;
  std::int64_t depth;
  const float* bias;  // [outs], or null
  float* y;           // [rows, outs]
  std::int64_t y_stride;
  // [outs * depth], or null: memory that will be read next. Asked for line after line meanwhile: a processor
  // sees that order coming, and the one in which a tile reads rows far apart it does not.
  const Weight* ahead = nullptr;
};
using MatmulArgs = MatmulOf<float>;

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
  void (*matmul_bf16)(const MatmulOf<Bf16>& args);
  void (*matmul_f16)(const MatmulOf<F16>& args);
  float (*sum_squares)(const float* x, std::int64_t count);
  void (*weighted_sum)(const WeightedSumArgs& args);
  void (*softmax)(const SoftmaxArgs& args);
  // Each value to the nearest that its half type has, ties to even; it stays an f32. Beyond the largest: an
  // infinity; a NaN is quiet. IEEE 754, 4.3.1; the values of impl/half.h's narrow().
  void (*round_bf16)(float* values, std::int64_t count);
  void (*round_f16)(float* values, std::int64_t count);
};

extern const Kernels kScalarKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
#endif

}  // namespace plumbline::native
