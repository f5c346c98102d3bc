#include <cuda_runtime.h>

#include "impl/cuda/attention/mma.cuh"
#include "impl/cuda/attention/rows.cuh"
#include "impl/cuda/launch.h"
#include "impl/cuda/vectors.h"

namespace plumbline::native::cuda {
namespace {

constexpr int kLaneFeatures = 8;   // of each 32: 8t, ..., 8t + 7, the first four for one mma
constexpr int kGroupKeys = 16;     // that two mma share out: a lane has the scores of 4t, ..., 4t + 3
constexpr int kTogetherTiles = 4;  // of 8 keys, whose sums do not wait for each other

// The lane's share of two rows of queries: [step of 32 features].
template <int kSteps>
struct QueryFragments {
  Words rows[kLaneRows][kSteps];
};

template <int kSteps>
__device__ __forceinline__ QueryFragments<kSteps> read_queries(const AttentionLayer& layer,
                                                               const MmaBlock& block, const Bf16* queries) {
  QueryFragments<kSteps> fragments;
#pragma unroll
  for (int r = 0; r < kLaneRows; ++r) {
    const TileRow at = block.at(r);
    const Bf16* row = queries + ((block.tile.first_row + at.query) * layer.heads + at.head) * layer.head_dim;
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const int feature = step * kMmaFeatures + block.t * kLaneFeatures;
      fragments.rows[r][step] = feature < layer.head_dim ? read_words(row + feature) : Words{};
    }
  }
  return fragments;
}

// keys: [kKeyBlock, width], zeros where rows are null and beyond head_dim. Four groups of features are on
// their way in each thread before the first is used.
template <bool kTogether>
__device__ __forceinline__ void stage_keys(const Bf16* const* rows, int head_dim, int width, Bf16* keys) {
  constexpr int kAtOnce = 4;
  const int features = (head_dim + kMmaFeatures - 1) / kMmaFeatures * kMmaFeatures;
  const int shift = log2_above(features / kGroupFeatures), threads = static_cast<int>(blockDim.x);
  const int items = static_cast<int>(kKeyBlock) << shift, last_group = (1 << shift) - 1;
#pragma unroll 1
  for (int first = static_cast<int>(threadIdx.x); first < items; first += kAtOnce * threads) {
    FeatureGroup<Bf16> held[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int item = first + i * threads, feature = (item & last_group) * kGroupFeatures;
      const Bf16* row = item < items && feature < head_dim ? rows[item >> shift] : nullptr;
      held[i] = row == nullptr ? FeatureGroup<Bf16>{} : load_group(row + feature, kGroupFeatures, kTogether);
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int item = first + i * threads, feature = (item & last_group) * kGroupFeatures;
      if (item >= items || feature >= features) continue;
      *reinterpret_cast<FeatureGroup<Bf16>*>(keys + (item >> shift) * width + feature) = held[i];
    }
  }
}

// Four tiles of 8 keys, from `keys` on. Tiles 2i and 2i + 1 share the keys 16i to 16i + 15: column c of the
// former is key 4 (c / 2) + c % 2 of them, of the latter the key 2 after that.
template <int kSteps>
__device__ __forceinline__ void multiply(const QueryFragments<kSteps>& queries, int head_dim,
                                         const MmaBlock& block, const Bf16* keys, int width,
                                         float (&sums)[kTogetherTiles][4]) {
  const Bf16* own = keys + (block.g / 2 * 4 + block.g % 2) * width + block.t * kLaneFeatures;
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    if (step * kMmaFeatures >= head_dim) break;
    const Words a[kLaneRows] = {queries.rows[0][step], queries.rows[1][step]};
    Words b[kTogetherTiles];
#pragma unroll
    for (int tile = 0; tile < kTogetherTiles; ++tile) {
      b[tile] = read_words(own + (tile / 2 * kGroupKeys + tile % 2 * 2) * width + step * kMmaFeatures);
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const std::uint32_t fragment[4] = {a[0].words[2 * half], a[1].words[2 * half], a[0].words[2 * half + 1],
                                         a[1].words[2 * half + 1]};
#pragma unroll
      for (int tile = 0; tile < kTogetherTiles; ++tile) {
        mma_bf16(sums[tile], fragment, {b[tile].words[2 * half], b[tile].words[2 * half + 1]});
      }
    }
  }
}

// Of row r the scores of 4 keys, from `key` on.
__device__ __forceinline__ void put_scores(const float (&even)[4], const float (&odd)[4], int r, float scale,
                                           KeySpan keys, std::int64_t key, bool together, float* row) {
  const Vector<float, 4> made{
      {even[2 * r] * scale, even[2 * r + 1] * scale, odd[2 * r] * scale, odd[2 * r + 1] * scale}};
  if (together && key >= keys.begin && key + 4 <= keys.end) return write_vector(row + key, made);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (key + i >= keys.begin && key + i < keys.end) row[key + i] = made.values[i];
  }
}

// The warp's rows against the 64 keys from `first` on, of which `keys` are wanted.
template <int kSteps>
__device__ __forceinline__ void score_keys(const AttentionLayer& layer, const MmaBlock& block,
                                           const QueryFragments<kSteps>& queries, std::int64_t first,
                                           KeySpan keys, const Bf16* staged, int width, float* scores) {
  const bool together = block.on_16_bytes(scores);
#pragma unroll 1
  for (int begin = 0; begin < kKeyBlock; begin += kTogetherTiles * kMmaColumns) {
    float sums[kTogetherTiles][4] = {};
    multiply(queries, static_cast<int>(layer.head_dim), block, staged + begin * width, width, sums);
#pragma unroll
    for (int r = 0; r < kLaneRows; ++r) {
      if (!block.has(r)) continue;
#pragma unroll
      for (int tile = 0; tile < kTogetherTiles; tile += 2) {
        put_scores(sums[tile], sums[tile + 1], r, layer.scale, keys,
                   first + begin + tile / 2 * kGroupKeys + block.t * 4, together, scores + block.scores(r));
      }
    }
  }
}

// kHeadDim: mma_head_dim() of the layer.
template <int kHeadDim>
__global__ void __launch_bounds__(kMmaScoreWarps* kWarp, 2)
    scores_mma_kernel(AttentionLayer layer, const Bf16* queries, float* scores, RowPart part) {
  const MmaBlock block = this_mma_block(layer);
  if (idle(layer, block)) return;
  const KeySpan seen =
      part == RowPart::whole ? KeySpan{0, block.tile.length} : keys_of_tile(block.tile, layer.window);
  const std::int64_t begin = (seen.begin / kKeyBlock + std::int64_t{blockIdx.y} * kMmaKeyBlocks) * kKeyBlock;
  if (begin >= seen.end) return;

  constexpr MmaScoresLayout kLayout = mma_scores_layout(kHeadDim);
  auto* keys = shared_memory<Bf16>();
  auto** rows = reinterpret_cast<const Bf16**>(shared_memory<unsigned char>() + kLayout.rows);
  const DeviceRuns& runs = layer.runs[block.tile.step].held;
  const bool together = reads_together<Bf16>(runs, Side::keys, layer.head_dim);
  for (int i = static_cast<int>(threadIdx.x); i < kKeyBlock * kMmaKeyBlocks;
       i += static_cast<int>(blockDim.x)) {
    rows[i] = find_row<Bf16>(runs, Side::keys, block.kv_head, begin + i, seen);
  }
  const auto fragments = read_queries<kHeadDim / kMmaFeatures>(layer, block, queries);
#pragma unroll 1
  for (int b = 0; b < kMmaKeyBlocks; ++b) {
    const std::int64_t first = begin + b * kKeyBlock;
    if (first >= seen.end) break;
    __syncthreads();  // rows have been found, or keys read
    const auto head_dim = static_cast<int>(layer.head_dim);
    if (together) {
      stage_keys<true>(rows + b * kKeyBlock, head_dim, kLayout.key_width, keys);
    } else {
      stage_keys<false>(rows + b * kKeyBlock, head_dim, kLayout.key_width, keys);
    }
    __syncthreads();
    if (block.works()) score_keys(layer, block, fragments, first, seen, keys, kLayout.key_width, scores);
  }
}

}  // namespace

void attention_scores_mma(Stream stream, const AttentionLayer& layer, const Bf16* queries, float* scores,
                          RowPart part) {
  require(on_16_bytes(queries), "cuda: queries for tensor cores do not begin on 16 bytes");
  const auto kernel = mma_head_dim(layer.head_dim) == 64 ? scores_mma_kernel<64> : scores_mma_kernel<128>;
  launch("attention_scores on tensor cores", kernel, attention_scores_mma_shape(layer, part), stream, layer,
         queries, scores, part);
}

}  // namespace plumbline::native::cuda
