// Causal attention with grouped queries: softmax(q kᵀ * scale) v over the keys that the mask allows.
// transformers: eager_attention_forward in modeling_qwen2.py. Query head h reads kv head h / (heads /
// kv_heads).
//
// Order of sums: a score is a dot product in the lanes of impl/cpu/kernels.h; the softmax's sum runs over the
// allowed keys in f64, as four interleaved sums; the context is summed in blocks of 32 keys. All count keys
// from the sequence's first, or the first that is allowed, so no result depends on chunks, on the cache, on
// where its runs begin and end, or on what lies beyond the allowed keys.
#pragma once

#include <cstdint>
#include <optional>

#include "impl/cache/run.h"
#include "impl/cpu/context.h"

namespace plumbline::native {

struct AttentionInput {
  const float* queries = nullptr;  // [tokens, heads, head_dim], rotated
  RunList<CacheRun> runs;          // keys, rotated, and values; `length` tokens in all, in any layout
  std::int64_t tokens = 0;
  std::int64_t length = 0;  // past + tokens
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  float scale = 0;  // head_dim^-0.5, applied after the dot product
  std::optional<std::int64_t> window;

  std::int64_t past() const { return length - tokens; }
};

// context: [tokens, heads * head_dim], as CpuContext::store leaves it. The same bits as the three functions
// below, without their memory.
void attention(const CpuContext& context, const AttentionInput& input, float* out);

// Scores and weights stay f32 whatever the storage dtype. scores: [heads, tokens, length], scaled, before the
// mask: forbidden places hold raw scores.
void attention_scores(const CpuContext& context, const AttentionInput& input, float* scores);
// probs: [heads, tokens, length], exactly 0 where forbidden.
void attention_probs(const CpuContext& context, const AttentionInput& input, const float* scores,
                     float* probs);
void attention_context(const CpuContext& context, const AttentionInput& input, const float* probs,
                       float* out);

}  // namespace plumbline::native
