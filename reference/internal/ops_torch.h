// Every operation of Qwen2 as one formula, in the dtype of its arguments; and the bound B of what an f32
// engine may differ from it (u = 2^-24; docs/tolerances.md derives them). Source of the formulas:
// transformers' modeling_qwen2.py, eager attention. The bound functions take f64 arguments and give f64.
#pragma once

#include <ATen/ATen.h>

#include "harness/dtype.h"
#include "harness/model.h"

namespace plumbline::reference::ops {

inline constexpr double kUnitRoundoff = 0x1p-24;  // u, of f32

// What norms, softmax and angles are computed in: f32 of half types, else x as it is.
at::Tensor wide(const at::Tensor& x);

// An op within which every elementary operation rounds to `dtype`, a half type, as eager LibTorch's do.
// Arguments and results are f64. y: the op without them.
struct Rounded {
  at::Tensor emulated;   // the same operations, rounded where those round
  at::Tensor roundings;  // beside half a spacing at y and the op's bound: how far they may lead from y.
                         // Infinite where one of them overflows: nothing is known then
};
Rounded rms_norm_rounded(const at::Tensor& x, const at::Tensor& weight, double eps, const at::Tensor& y,
                         DType dtype);
Rounded rope_rounded(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, const at::Tensor& y,
                     DType dtype);
Rounded scores_rounded(const at::Tensor& q, const at::Tensor& k, double scale, DType dtype);
Rounded silu_mul_rounded(const at::Tensor& gate, const at::Tensor& up, const at::Tensor& y, DType dtype);

// ids: i64 [tokens]; weight: [vocab, hidden] -> [tokens, hidden]
at::Tensor embedding(const at::Tensor& ids, const at::Tensor& weight);

// x: [tokens, in]; weight: [out, in]; bias: [out] or undefined -> [tokens, out]
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);
// The same, written into `out`; a large vocabulary's logits are gigabytes.
void linear_into(at::Tensor out, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);
void linear_bound_into(at::Tensor out, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

// x: [tokens, hidden]; weight: [hidden]. Normed in wide(x), then rounded to x's dtype, then times the weight.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);
at::Tensor rms_norm_bound(const at::Tensor& y);

// f32 [head_dim / 2], computed as transformers does.
at::Tensor inverse_frequencies(const ModelConfig& config);
// f64 [head_dim / 2]: the same formulas in f64, rounded once to f32.
at::Tensor exact_inverse_frequencies(const ModelConfig& config);
// The f32 product position * inv_freq, twice over: f32 [tokens, head_dim]. positions: [tokens], any number
// type.
at::Tensor rotary_angles(const at::Tensor& positions, const at::Tensor& inv_freq);
// Of cos and sin at the f32 angle. wave: either, not yet multiplied by `factor`, YaRN's attention factor.
at::Tensor cos_sin_bound(const at::Tensor& wave, double factor);
// x: [tokens, heads, head_dim]; cos, sin: [tokens, head_dim]. Pairs i with i + head_dim / 2.
at::Tensor rope(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin);
// cos and sin given. factor: YaRN's attention factor.
at::Tensor rope_bound(const at::Tensor& x, double factor);
// cos and sin of f64 angles, not recorded, and kept in a half type: a spacing where their own error decides
// how they are rounded, times what they are multiplied with. own_table: the engine's frequencies are not
// known.
at::Tensor rope_roundings_of_table(const at::Tensor& x, const at::Tensor& angles, double factor,
                                   bool own_table, DType kept);
// cos and sin by the engine's own table of frequencies. angles: f64 [tokens, head_dim].
at::Tensor rope_bound_own_table(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                                const at::Tensor& angles);

// Each query head's keys or values: [keys, kv_heads, head_dim] -> [heads, keys, head_dim], kv head h / group.
at::Tensor expand_groups(const at::Tensor& x, std::int64_t group);
// q: [heads, queries, head_dim]; k: [heads, keys, head_dim] -> [heads, queries, keys], scaled, before the
// mask
at::Tensor scores(const at::Tensor& q, const at::Tensor& k, double scale);
at::Tensor scores_bound(const at::Tensor& q, const at::Tensor& k, double scale);
// allowed: boolean [queries, keys]; weight 0 where it is false
at::Tensor softmax(const at::Tensor& scores, const at::Tensor& allowed);
at::Tensor softmax_bound(const at::Tensor& scores, const at::Tensor& probs, const at::Tensor& allowed);
// What is added where the softmax reads f64 scores in f32.
at::Tensor cast_scores_bound(const at::Tensor& scores, const at::Tensor& probs, const at::Tensor& allowed);
// probs: [heads, queries, keys]; v: [heads, keys, head_dim] -> [queries, heads * head_dim]
at::Tensor context(const at::Tensor& probs, const at::Tensor& v);
// Keys count that are allowed or have a weight other than 0.
at::Tensor context_bound(const at::Tensor& probs, const at::Tensor& v, const at::Tensor& allowed);
// What a kernel of fused attention keeps its scores and weights in. Scores that are no half type are those of
// a product with one rounding; `each`: they are rounded before they are scaled, too.
struct FusedPrecision {
  DType scores = DType::f32;
  DType probs = DType::f32;
  bool each = false;
};
// Of the span from q_rope and the cache to the context.
at::Tensor fused_attention_bound(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale,
                                 const at::Tensor& allowed, const FusedPrecision& precision);

at::Tensor residual(const at::Tensor& a, const at::Tensor& b);

// silu(gate) * up, silu(x) = x / (1 + e^-x)
at::Tensor silu_mul(const at::Tensor& gate, const at::Tensor& up);
at::Tensor silu_mul_bound(const at::Tensor& gate, const at::Tensor& up, const at::Tensor& y);

}  // namespace plumbline::reference::ops
