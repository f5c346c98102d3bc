#include <cuda_runtime.h>

#include "impl/cuda/attention/mma.cuh"
#include "impl/cuda/attention/rows.cuh"
#include "impl/cuda/attention/values_mma.cuh"
#include "impl/cuda/attention/weights_mma.cuh"
#include "impl/cuda/launch.h"
#include "impl/cuda/vectors.h"

namespace plumbline::native::cuda {
namespace {

// The sums of four features over those of a block of keys that a row sees, by fused multiply-adds
// in order, added to the totals of the rows of `in_order`, a bit for each.
__device__ __forceinline__ void add_in_order(const LaneRows& rows, unsigned in_order,
                                             const Bf16* const* values, int feature,
                                             float (&totals)[kLaneRows][kLaneFeatures]) {
#pragma unroll
  for (int r = 0; r < kLaneRows; ++r) {
    if ((in_order >> r & 1u) == 0) continue;
    const int from = rows.from(r) > 0 ? rows.from(r) : 0;
    const int to = rows.to[r] < kKeyBlock ? rows.to[r] : static_cast<int>(kKeyBlock);
    float sums[kLaneFeatures] = {};
#pragma unroll 1
    for (int key = from; key < to; ++key) {
      const float weight = rows.probs[r][key];
#pragma unroll
      for (int f = 0; f < kLaneFeatures; ++f) {
        sums[f] = fmaf(weight, widen(values[key][feature + f]), sums[f]);
      }
    }
#pragma unroll
    for (int f = 0; f < kLaneFeatures; ++f) totals[r][f] += sums[f];
  }
}

// The sums over a block of keys of 16 features, added to the totals. quads: the lane's first, of the first of
// its two features.
__device__ __forceinline__ void add_features(const WeightFragments& weights, const std::uint32_t* quads,
                                             int width, float (&totals)[kLaneRows][kLaneFeatures]) {
  Words b[kKeySteps];
#pragma unroll
  for (int step = 0; step < kKeySteps; ++step) b[step] = read_words(quads + step * 4 * width);
  float even[4] = {}, odd[4] = {};
#pragma unroll
  for (int term = kWeightTerms - 1; term >= 0; --term) {
#pragma unroll
    for (int step = 0; step < kKeySteps; ++step) {
      mma_bf16(even, weights.words[term][step], {b[step].words[0], b[step].words[1]});
      mma_bf16(odd, weights.words[term][step], {b[step].words[2], b[step].words[3]});
    }
  }
#pragma unroll
  for (int r = 0; r < kLaneRows; ++r) {
    totals[r][0] += even[2 * r];
    totals[r][1] += odd[2 * r];
    totals[r][2] += even[2 * r + 1];
    totals[r][3] += odd[2 * r + 1];
  }
}

// The lane's totals of four features: to the context, or of this block of keys to partial.
__device__ __forceinline__ void put_totals(const AttentionLayer& layer, const MmaBlock& block, int feature,
                                           const float (&totals)[kLaneRows][kLaneFeatures], float* partial,
                                           Bf16* context) {
#pragma unroll
  for (int r = 0; r < kLaneRows; ++r) {
    if (!block.has(r)) continue;
    const TileRow at = block.at(r);
    if (partial == nullptr) {
      Vector<Bf16, kLaneFeatures> made;
#pragma unroll
      for (int f = 0; f < kLaneFeatures; ++f) made.values[f] = narrow<Bf16>(totals[r][f]);
      const std::int64_t to = (block.tile.first_row + at.query) * layer.heads + at.head;
      write_vector(context + to * layer.head_dim + feature, made);
    } else {
      const std::int64_t first = (at.head * block.tile.queries + at.query) * key_blocks(layer.most_keys);
      float* to = partial + block.tile.partial + (first + blockIdx.y) * layer.head_dim + feature;
#pragma unroll
      for (int f = 0; f < kLaneFeatures; ++f) to[f] = totals[r][f];
    }
  }
}

// The tile's keys, and the first of the block's.
struct BlockKeys {
  KeySpan seen;
  std::int64_t begin;
};
__device__ __forceinline__ BlockKeys keys_of_block(const AttentionLayer& layer, const QueryTile& tile) {
  const KeySpan seen = keys_of_tile(tile, layer.window);
  return {seen, (seen.begin / kKeyBlock + blockIdx.y) * kKeyBlock};
}

// For the block of 64 keys from `first` on: where values are, and no flag yet. Blocks have the two places of
// the tables in turns. The tile is read again: kept through the loop it would take registers that sums need.
__device__ __forceinline__ void find_values(const AttentionLayer& layer, int first, const Bf16** tables,
                                            std::uint32_t* flags) {
  if (threadIdx.x >= kKeyBlock) return;
  const MmaBlock block = this_mma_block(layer);
  const BlockKeys keys = keys_of_block(layer, block.tile);
  const int place = first / static_cast<int>(kKeyBlock) % 2;
  find_rows(layer.runs[block.tile.step].held, Side::values, block.kv_head, keys.begin + first, keys.seen,
            tables + place * kKeyBlock);
  if (threadIdx.x < 2) flags[place * 2 + threadIdx.x] = 0;
}

// kHeadDim: mma_head_dim() of the layer.
template <int kHeadDim>
__global__ void __launch_bounds__(kMmaContextWarps* kWarp, 3)
    context_mma_kernel(AttentionLayer layer, const float* probs, float* partial, Bf16* context) {
  constexpr int kChunks = kHeadDim / kChunkFeatures;
  const MmaBlock block = this_mma_block(layer);
  if (idle(layer, block)) return;
  const BlockKeys keys = keys_of_block(layer, block.tile);
  if (keys.begin >= keys.seen.end) return;
  const int count = partial == nullptr ? static_cast<int>(keys.seen.end - keys.begin) : 1;  // from begin on

  constexpr MmaContextLayout kLayout = mma_context_layout(kHeadDim);
  auto* memory = shared_memory<unsigned char>();
  auto* quads = reinterpret_cast<std::uint32_t*>(memory);
  auto** tables = reinterpret_cast<const Bf16**>(memory + kLayout.rows);
  auto* flags = reinterpret_cast<std::uint32_t*>(memory + kLayout.not_finite);
  const auto head_dim = static_cast<int>(layer.head_dim);
  // Whether values, and weights, are read so. Not in registers: sums need them all.
  auto* by_16_bytes = reinterpret_cast<std::uint32_t*>(memory + kLayout.by_16_bytes);
  if (threadIdx.x == 0) {
    by_16_bytes[0] = reads_together<Bf16>(layer.runs[block.tile.step].held, Side::values, layer.head_dim);
    by_16_bytes[1] = block.on_16_bytes(probs);
  }
  LaneRows rows = find_lane_rows(layer, block, keys.begin, probs);
  find_values(layer, 0, tables, flags);
  __syncthreads();

  float totals[kChunks][kLaneRows][kLaneFeatures] = {};
#pragma unroll 1
  for (int first = 0; first < count; first += kKeyBlock) {
    const int place = first / static_cast<int>(kKeyBlock) % 2;
    const Bf16* const* values = tables + place * kKeyBlock;
    if (first > 0) {
      rows.to_next_block();
      __syncthreads();  // the values before have been read
    }
    if (by_16_bytes[0] != 0) {
      stage_quads<true>(values, head_dim, kLayout.quad_width, quads, flags + place * 2);
    } else {
      stage_quads<false>(values, head_dim, kLayout.quad_width, quads, flags + place * 2);
    }
    if (first + kKeyBlock < count) {
      find_values(layer, first + static_cast<int>(kKeyBlock), tables, flags);
    }
    __syncthreads();
    if (!block.works()) continue;
    LaneWeights weights = read_weights(rows, block.t, by_16_bytes[1] != 0 && rows.see_all());
    prefetch_weights(rows, block.t);
    const unsigned in_order = see_not_finite(rows, flags + place * 2);
    if (in_order != 0) clear_rows(weights, in_order);
    const WeightFragments fragments = fragments_of(weights);
    const std::uint32_t* own = quads + block.t * kLayout.quad_width + block.g * 4;
#pragma unroll
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      if (chunk * kChunkFeatures >= head_dim) break;
      add_features(fragments, own + chunk * 2 * kChunkFeatures, kLayout.quad_width, totals[chunk]);
    }
    if (in_order == 0) continue;
#pragma unroll
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      if (chunk * kChunkFeatures >= head_dim) break;
      add_in_order(rows, in_order, values, chunk * kChunkFeatures + block.t * kLaneFeatures, totals[chunk]);
    }
  }
  const MmaBlock own = this_mma_block(layer);  // read again, as in find_values()
  if (!own.works()) return;
#pragma unroll
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    if (chunk * kChunkFeatures >= head_dim) break;
    put_totals(layer, own, chunk * kChunkFeatures + own.t * kLaneFeatures, totals[chunk], partial, context);
  }
}

}  // namespace

void attention_context_mma(Stream stream, const AttentionLayer& layer, const float* probs, float* partial,
                           Bf16* context) {
  require(on_16_bytes(context), "cuda: a context for tensor cores does not begin on 16 bytes");
  const auto kernel = mma_head_dim(layer.head_dim) == 64 ? context_mma_kernel<64> : context_mma_kernel<128>;
  launch("attention_context on tensor cores", kernel, attention_context_mma_shape(layer, partial != nullptr),
         stream, layer, probs, partial, context);
}

}  // namespace plumbline::native::cuda
