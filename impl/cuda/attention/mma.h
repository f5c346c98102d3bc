// Attention of steps of many queries on tensor cores: queries and cache in bf16, head_dim a multiple of 16.
// attention_scores() and attention_context() of attention.h come here for such steps; the softmax between
// them is the same.
//
// WHO. By the step's own number of queries (AttentionLayer::tensor_core_rows), the dtypes and head_dim alone:
// so a step's bits do not depend on what else is in its batch. Another number of queries may be computed by
// the kernels of attention.h, in another order of sums; where both are on tensor cores, a prompt whole and in
// chunks has the same bits.
//
// ORDER OF SUMS, as far as it is ours; "one mma" adds 16 products to a sum in the hardware's order
// (impl/cuda/mma.cuh). A score: one f32 sum from 0; of each 32 features in turn, zeros beyond head_dim, one
// mma with the features f of f % 8 < 4, then one with the others; then times scale. The context: a weight is
// cut into three bf16 terms, whose sum it is exactly (down to 2^-133): its first 8 bits, the next 8, the
// rest. Of each block of 64 keys, counted from the sequence's first, one f32 sum from 0: the third terms by
// one mma for each 16 keys, in order; then the second terms likewise; then the first. The small ones first,
// since each mma cuts off its sum. Blocks are then added in order, as in attention.h. So products are exact,
// as they are there: what differs is how tensor cores add.
//
// FORBIDDEN KEYS weigh exactly 0, and take no part whatever they are. Of a value that is no finite number 0
// times it would be NaN: so tensor cores are given zeros in their place, and a row that may see a key with
// such a value sums that block of keys, all features, by fused multiply-adds in the order of attention.h.
// Which rows do so depends on what they see alone.
//
// A ROW's bits do not depend on the other rows of its tile, nor on where in it the row stands: a product with
// a weight of 0 adds nothing to a sum, whatever the (finite) value.
//
// SPEED, as assumed; nothing was measured on a device. Rows of a tile that share a kv head, 16 queries by the
// group's heads, are cut into sixteens, one for each warp; a block's warps share the staged keys or values.
// Everything is read and written by 16 bytes, since the order of the features and keys within an mma is
// chosen so that a lane's share lies together (scores and weights only where `length` is a multiple of 4;
// else by 4 bytes); shared memory's rows are spaced so that the 8 lanes of a phase meet in no bank. The
// longest tiles are launched first. By nvcc 13.0 for 8.0 and 9.0, without spills: scores 114 registers, 14
// warps to a multiprocessor; context 168, 12 warps.
#pragma once

#include <cstdint>

#include "impl/cuda/attention/attention.h"
#include "impl/cuda/attention/tile.h"
#include "impl/cuda/element.h"
#include "impl/cuda/host_device.h"
#include "impl/cuda/launch_shape.h"

namespace plumbline::native::cuda {

// Whether a layer's dtypes and sizes suit the tensor cores.
PLUMBLINE_HOST_DEVICE constexpr bool suits_tensor_cores(const AttentionLayer& layer) {
  return layer.storage == DType::bf16 && layer.cache == DType::bf16 && layer.head_dim % 16 == 0;
}
// Whether a step of `rows` queries is computed by them.
PLUMBLINE_HOST_DEVICE constexpr bool on_tensor_cores(const AttentionLayer& layer, std::int64_t rows) {
  return layer.tensor_core_rows > 0 && rows >= layer.tensor_core_rows && suits_tensor_cores(layer);
}
PLUMBLINE_HOST_DEVICE constexpr bool on_tensor_cores(const AttentionLayer& layer, const QueryTile& tile) {
  return on_tensor_cores(layer, tile.length - tile.past);
}

// The upper halves of two f32: bf16, cut off. The first in the lower half of the word.
PLUMBLINE_HOST_DEVICE inline std::uint32_t upper_halves(float first, float second) {
#if defined(__CUDA_ARCH__)
  return __byte_perm(bits_of(first), bits_of(second), 0x7632);  // one instruction
#else
  return bits_of(first) >> 16 | (bits_of(second) & 0xffff0000u);
#endif
}
// What upper_halves() cuts off, exactly; NaN of NaN and of infinities.
PLUMBLINE_HOST_DEVICE inline float cut_off(float value) {
  return value - float_of(bits_of(value) & 0xffff0000u);
}
PLUMBLINE_HOST_DEVICE inline float cut_off_or_0(float value) {
  return (bits_of(value) & 0x7fffffffu) == 0x7f800000u ? 0.0f : cut_off(value);
}
inline constexpr int kWeightTerms = 3;
struct WeightTerms {
  std::uint32_t pairs[kWeightTerms];  // the largest first
};
PLUMBLINE_HOST_DEVICE inline WeightTerms terms_of(float first, float second) {
  WeightTerms terms{};
  terms.pairs[0] = upper_halves(first, second);
  const float a = cut_off_or_0(first), b = cut_off_or_0(second);  // an infinity has one term
  terms.pairs[1] = upper_halves(a, b);
  terms.pairs[2] = upper_halves(cut_off(a), cut_off(b));
  return terms;
}
// Whether one of a pair of bf16 is infinite or NaN: adding 1 to its exponent carries out of it then.
PLUMBLINE_HOST_DEVICE constexpr std::uint32_t not_finite(std::uint32_t pair) {
  return ((pair & 0x7f807f80u) + 0x00800080u) & 0x80008000u;
}

// How the rows of a tile that share a kv head are cut: a warp has 16, a block `warps` of them. At least two
// warps, which the staging counts on.
struct MmaRows {
  int warps;
  std::int64_t batches;
};
inline constexpr int kMmaTileRows = 16;
constexpr MmaRows mma_rows(const AttentionLayer& layer, int most_warps) {
  const std::int64_t sixteens =
      ceil_div(layer.most_queries * (layer.heads / layer.kv_heads), std::int64_t{kMmaTileRows});
  const std::int64_t batches = ceil_div(sixteens, std::int64_t{most_warps});
  const std::int64_t warps = ceil_div(sixteens, batches);
  return {static_cast<int>(warps < 2 ? 2 : warps), batches};
}

// Kernels are made for these two sizes of heads; smaller heads leave some of their shared memory unused.
PLUMBLINE_HOST_DEVICE constexpr int mma_head_dim(std::int64_t head_dim) {
  return head_dim <= 64 ? 64 : static_cast<int>(kLargestHeadDim);
}

// SCORES. A block computes kMmaKeyBlocks blocks of keys after each other; its queries stay in registers.
inline constexpr int kMmaScoreWarps = 7;  // at most: 16 queries of a group of 7 heads
inline constexpr int kMmaKeyBlocks = 4;
inline constexpr int kMmaFeatures = 32;  // that a lane reads together with three others, 8 of them
struct MmaScoresLayout {
  int key_width;  // bf16 from one key to the next: an odd number of 64 bytes. The 8 lanes of a phase read 64
                  // bytes of each of two neighbours
  std::size_t rows, bytes;  // where things begin; the keys at 0
};
PLUMBLINE_HOST_DEVICE constexpr MmaScoresLayout mma_scores_layout(std::int64_t head_dim) {
  MmaScoresLayout layout{mma_head_dim(head_dim) + kMmaFeatures, 0, 0};
  layout.rows = sizeof(Bf16) * kKeyBlock * static_cast<std::size_t>(layout.key_width);
  layout.bytes = layout.rows + sizeof(void*) * kKeyBlock * kMmaKeyBlocks;
  return layout;
}
// y: kMmaKeyBlocks blocks of keys; z: the kv head's batch of rows.
constexpr LaunchShape attention_scores_mma_shape(const AttentionLayer& layer, RowPart part) {
  const MmaRows rows = mma_rows(layer, kMmaScoreWarps);
  return {layer.tile_count, ceil_div(attention_key_blocks(layer, part), std::int64_t{kMmaKeyBlocks}),
          layer.kv_heads * rows.batches, rows.warps * kWarp, mma_scores_layout(layer.head_dim).bytes};
}

// CONTEXT. Values lie in shared memory by fours of keys: for each, feature by feature, the four keys' values
// beside each other, which are one lane's b[0] and b[1]; so a lane reads two features by 16 bytes.
inline constexpr int kMmaContextWarps = 4;  // at most: three such blocks have 168 registers a thread
inline constexpr int kMmaQuads = static_cast<int>(kKeyBlock) / 4;
struct MmaContextLayout {
  int quad_width;  // words from one four of keys to the next: an odd number of 32 bytes. The 8 lanes of a
                   // phase read 32 bytes of each of four neighbours
  std::size_t rows, not_finite;  // where things begin, two of each, in turns; the values at 0
  std::size_t by_16_bytes, bytes;
};
PLUMBLINE_HOST_DEVICE constexpr MmaContextLayout mma_context_layout(std::int64_t head_dim) {
  MmaContextLayout layout{mma_head_dim(head_dim) * 2 + 8, 0, 0, 0, 0};
  layout.rows = sizeof(std::uint32_t) * kMmaQuads * static_cast<std::size_t>(layout.quad_width);
  layout.not_finite = layout.rows + 2 * sizeof(void*) * kKeyBlock;
  layout.by_16_bytes = layout.not_finite + 2 * 2 * sizeof(std::uint32_t);
  layout.bytes = layout.by_16_bytes + 2 * sizeof(std::uint32_t);
  return layout;
}
// y: the block of keys, or 0 where there are no partial sums; z: the kv head's batch of rows.
constexpr LaunchShape attention_context_mma_shape(const AttentionLayer& layer, bool partial) {
  const MmaRows rows = mma_rows(layer, kMmaContextWarps);
  return {layer.tile_count, partial ? attention_key_blocks(layer, RowPart::allowed) : 1,
          layer.kv_heads * rows.batches, rows.warps * kWarp, mma_context_layout(layer.head_dim).bytes};
}

// As attention_scores() and attention_context() without the sum of the partial sums, of the tiles that are
// computed on tensor cores. queries and context begin on 16 bytes.
void attention_scores_mma(Stream stream, const AttentionLayer& layer, const Bf16* queries, float* scores,
                          RowPart part);
void attention_context_mma(Stream stream, const AttentionLayer& layer, const float* probs, float* partial,
                           Bf16* context);

}  // namespace plumbline::native::cuda
