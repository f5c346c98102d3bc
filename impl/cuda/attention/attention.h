// Causal attention with grouped queries on the device: softmax(q k^T * scale) v over the keys that the mask
// allows. transformers: eager_attention_forward in modeling_qwen2.py. Query head h reads kv head h / (heads /
// kv_heads).
//
// Three steps, whose bits are the same recorded or not, for one query or many, whole or in parts, over any
// form of cache, on any number of blocks.
//
// ORDER OF SUMS. A score: 8 interleaved f32 lanes along head_dim, lane l taking the features l, l + 8, ... by
// one fused multiply-add each, from 0, the last group padded with zeros; lanes added as the tree l + (l + 4),
// + 2, + 1; then times scale. The softmax's largest score has no order: it is exact. Its denominator: in f64,
// lane l of 128 takes the keys begin + l, begin + l + 128, ..., begin the first allowed key; then lanes added
// as the tree l + (l + 64), + 32, ..., + 1; rounded to f32. The exponential is impl/cuda/exp.h's. The
// context: blocks of 64 keys counted from the sequence's first key; within a block one fused multiply-add per
// allowed key, in order, from 0; then the sums of those blocks that have an allowed key one after the other,
// from 0, in order. Forbidden keys take no part, whatever their values are. (A block without an allowed key
// would add +0, and change nothing: a sum from +0 is never -0.)
//
// Steps of many queries may be computed on tensor cores, in another order of sums: attention/mma.h.
//
// NaN and infinity: as on the CPU. A NaN or +infinity among the allowed scores makes every weight of its row
// NaN, and so do scores that are all -infinity; -infinity beside others weighs 0.
//
// SPEED, as assumed; nothing was measured on a device. Keys are read once for all heads of their group and
// all queries of a tile, values once for every 8 to 64 rows of these, by accesses of 16 bytes where the
// cache's strides allow, and widened once, into shared memory. A score's threads hold 4 rows x 2 keys, the
// context's up to 8 rows x 4 features. For one query the keys' blocks are what fills the device.
#pragma once

#include <cstdint>
#include <limits>

#include "harness/dtype.h"
#include "impl/cuda/attention/tile.h"
#include "impl/cuda/launch_shape.h"
#include "impl/cuda/step_table.h"

namespace plumbline::native::cuda {

inline constexpr std::int64_t kSoftmaxLanes = kAttentionThreads;
// The engine refuses models beyond: the kernels' shared memory holds rows of this many features.
inline constexpr std::int64_t kLargestHeadDim = 128;

// What stays the same between calls with the same table sizes.
struct AttentionLayer {
  DType storage = DType::f32;  // of queries and context
  DType cache = DType::f32;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  float scale = 0;                   // head_dim^-0.5
  std::int64_t window = 0;           // 0: none
  const QueryTile* tiles = nullptr;  // [tile_count], on the device
  std::int64_t tile_count = 0;
  std::int64_t most_queries = 0;  // of a tile
  std::int64_t most_keys = 0;     // at least the largest `length`; how many blocks are launched depends on it
  const StepRuns* runs = nullptr;  // [steps], on the device: this layer's
  // Steps of at least so many queries are computed on tensor cores, where attention/mma.h can; 0: none.
  std::int64_t tensor_core_rows = 0;
  // Queries of the steps that the tiles are of, at least and at most: kernels that would find no tile of
  // theirs are not launched.
  std::int64_t fewest_rows = 0;
  std::int64_t most_rows = std::numeric_limits<std::int64_t>::max();
};

// How much of a row the caller wants: what attention itself needs, or all of it, for who looks at it.
enum class RowPart : std::uint8_t { allowed, whole };

// queries: [rows, heads, head_dim], rotated. scores: the scratch that QueryTile describes, f32, scaled,
// before the mask. `allowed`: only keys that some query of the tile sees are written; `whole`: forbidden
// places hold raw scores.
void attention_scores(Stream stream, const AttentionLayer& layer, const void* queries, float* scores,
                      RowPart part);

// probs: laid out as the scores, and may be them. `whole`: exactly 0 where forbidden; `allowed`: those places
// are not written.
void attention_softmax(Stream stream, const AttentionLayer& layer, const float* scores, float* probs,
                       RowPart part);

// context: [rows, heads, head_dim], rounded to storage once. partial: scratch of attention_partials() floats
// at QueryTile::partial of each tile, or null: then each block of threads walks all keys of its queries,
// which suits many queries; with it, every 64 keys are a block of their own, which suits few. The same bits.
void attention_context(Stream stream, const AttentionLayer& layer, const float* probs, float* partial,
                       void* context);

// Floats of partial sums for a tile of `queries` over `most_keys` keys: [heads, queries, key blocks,
// head_dim]; the first block is the first that the tile sees.
constexpr std::int64_t attention_partials(std::int64_t queries, std::int64_t most_keys, std::int64_t heads,
                                          std::int64_t head_dim) {
  return heads * queries * key_blocks(most_keys) * head_dim;
}

// Blocks of keys that a tile of the layer reads at most.
constexpr std::int64_t attention_key_blocks(const AttentionLayer& layer, RowPart part) {
  const std::int64_t all = key_blocks(layer.most_keys);
  if (part == RowPart::whole || layer.window == 0 || layer.window >= layer.most_keys) return all;
  const std::int64_t seen = layer.window + layer.most_queries - 1;
  const std::int64_t most = key_blocks(seen - 1) + 1;  // the first may have one key of them
  return most < all ? most : all;
}

// What each of the kernels is launched with. x: the tile.
//
// y: the block of keys; z: the kv head.
constexpr LaunchShape attention_scores_shape(const AttentionLayer& layer, RowPart part) {
  return {layer.tile_count, attention_key_blocks(layer, part), layer.kv_heads, kAttentionThreads,
          scores_layout(layer.head_dim).bytes};
}

// y: the query of the tile; z: the head. In shared memory each thread's sum, and each warp's largest score.
constexpr LaunchShape attention_softmax_shape(const AttentionLayer& layer) {
  return {layer.tile_count, layer.most_queries, layer.heads, kAttentionThreads,
          sizeof(double) * kAttentionThreads + sizeof(float) * kAttentionThreads / kWarp};
}

// Rows of a tile that read the same kv head are cut into batches.
constexpr std::int64_t attention_context_rows(const AttentionLayer& layer) {
  return layer.most_queries * (layer.heads / layer.kv_heads);
}
constexpr ContextLayout attention_context_layout(const AttentionLayer& layer) {
  return context_layout(layer.head_dim, context_thread_rows(layer.head_dim, attention_context_rows(layer)));
}
constexpr std::int64_t attention_context_batches(const AttentionLayer& layer) {
  return ceil_div(attention_context_rows(layer), attention_context_layout(layer).batch);
}
// y: the block of keys, or 0 where there are no partial sums; z: the kv head's batch of rows.
constexpr LaunchShape attention_context_shape(const AttentionLayer& layer, bool partial) {
  return {layer.tile_count, partial ? attention_key_blocks(layer, RowPart::allowed) : 1,
          layer.kv_heads * attention_context_batches(layer), kAttentionThreads,
          attention_context_layout(layer).bytes};
}
// y: 128 of the tile's features, of [queries, heads, head_dim].
constexpr LaunchShape attention_partials_shape(const AttentionLayer& layer) {
  return {layer.tile_count,
          ceil_div(layer.most_queries * layer.heads * layer.head_dim, std::int64_t{kAttentionThreads}), 1,
          kAttentionThreads, 0};
}

}  // namespace plumbline::native::cuda
