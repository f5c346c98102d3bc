#include <cuda_runtime.h>

#include "impl/cuda/attention/attention.h"
#include "impl/cuda/attention/mma.h"
#include "impl/cuda/attention/rows.cuh"
#include "impl/cuda/device.cuh"
#include "impl/cuda/launch.h"

namespace plumbline::native::cuda {
namespace {

constexpr int kThreadKeys = static_cast<int>(kKeyBlock) / kWarp;  // keys lane, lane + 32, ... of the block

// What one block computes.
struct ScoresBlock {
  QueryTile tile;
  std::int64_t kv_head;
  int group;           // query heads to a kv head
  int rows;            // queries * group
  std::int64_t first;  // key
  KeySpan keys;        // of them, those that are wanted
};

// batch: [kScoreBatch, width], the tile's rows from `first_row` on; zeros for rows that it does not have.
template <typename Storage>
__device__ __forceinline__ void stage_queries(const AttentionLayer& layer, const ScoresBlock& block,
                                              const Storage* queries, int first_row, int width,
                                              float* batch) {
  const int head_dim = static_cast<int>(layer.head_dim);
  const int groups = groups_of(head_dim), shift = log2_above(groups);
  const bool together = head_dim % kGroupFeatures == 0 && on_16_bytes(queries);
  for (int i = static_cast<int>(threadIdx.x); i < kScoreBatch << shift; i += kAttentionThreads) {
    const int row = i >> shift, feature = (i & ((1 << shift) - 1)) * kGroupFeatures;
    if (feature >= head_dim) continue;
    FeatureGroup<Storage> group{};
    if (first_row + row < block.rows) {
      const TileRow at = tile_row(first_row + row, block.kv_head, block.group);
      const std::int64_t from = (block.tile.first_row + at.query) * layer.heads + at.head;
      group = load_group(queries + from * layer.head_dim + feature, head_dim - feature, together);
    }
    put_group(converted<float>(group), batch + row * width + feature);
  }
}

// products[r][k]: of query r of the warp's and the thread's key k.
__device__ __forceinline__ void multiply(const float* queries, const float* keys, const ScoresLayout& layout,
                                         float (&products)[kScoreRows][kThreadKeys]) {
  float sums[kScoreRows][kThreadKeys][kGroupFeatures] = {};
#pragma unroll 1
  for (int feature = 0; feature < layout.query_width; feature += kGroupFeatures) {
    FeatureGroup<float> key[kThreadKeys];
#pragma unroll
    for (int k = 0; k < kThreadKeys; ++k) {
      key[k] = *reinterpret_cast<const FeatureGroup<float>*>(keys + k * kWarp * layout.key_width + feature);
    }
#pragma unroll
    for (int r = 0; r < kScoreRows; ++r) {
      const FeatureGroup<float> query =
          *reinterpret_cast<const FeatureGroup<float>*>(queries + r * layout.query_width + feature);
#pragma unroll
      for (int k = 0; k < kThreadKeys; ++k) {
#pragma unroll
        for (int l = 0; l < kGroupFeatures; ++l) {
          sums[r][k][l] = fmaf(query.values[l], key[k].values[l], sums[r][k][l]);
        }
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kScoreRows; ++r) {
#pragma unroll
    for (int k = 0; k < kThreadKeys; ++k) products[r][k] = sum_of_lanes(sums[r][k]);
  }
}

// The warp's rows of a batch; `row` is the first, of the tile's.
__device__ __forceinline__ void score_rows(const AttentionLayer& layer, const ScoresBlock& block, int row,
                                           const float* queries, const float* keys,
                                           const ScoresLayout& layout, float* scores) {
  float products[kScoreRows][kThreadKeys];
  multiply(queries, keys, layout, products);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int r = 0; r < kScoreRows; ++r) {
    if (row + r >= block.rows) break;
    const TileRow at = tile_row(row + r, block.kv_head, block.group);
    float* out = scores + block.tile.scores + at.head * block.tile.head_stride + at.query * block.tile.length;
#pragma unroll
    for (int k = 0; k < kThreadKeys; ++k) {
      const std::int64_t key = block.first + lane + k * kWarp;
      if (key >= block.keys.begin && key < block.keys.end) out[key] = products[r][k] * layer.scale;
    }
  }
}

template <typename Storage, typename Cache>
__global__ void __launch_bounds__(kAttentionThreads)
    scores_kernel(AttentionLayer layer, const Storage* queries, float* scores, RowPart part) {
  ScoresBlock block;
  block.tile = layer.tiles[blockIdx.x];
  if (on_tensor_cores(layer, block.tile)) return;
  const KeySpan seen =
      part == RowPart::whole ? KeySpan{0, block.tile.length} : keys_of_tile(block.tile, layer.window);
  block.first = (seen.begin / kKeyBlock + blockIdx.y) * kKeyBlock;
  if (block.first >= seen.end) return;
  block.keys = in_block(seen, block.first);
  block.kv_head = blockIdx.z;
  block.group = static_cast<int>(layer.heads / layer.kv_heads);
  block.rows = block.tile.queries * block.group;

  const ScoresLayout layout = scores_layout(layer.head_dim);
  auto* memory = shared_memory<unsigned char>();
  auto* batch = reinterpret_cast<float*>(memory);
  auto* keys = reinterpret_cast<float*>(memory + layout.keys);
  auto** rows = reinterpret_cast<const Cache**>(memory + layout.rows);
  const DeviceRuns& runs = layer.runs[block.tile.step].held;
  const auto head_dim = static_cast<int>(layer.head_dim);
  find_rows(runs, Side::keys, block.kv_head, block.first, block.keys, rows);
  __syncthreads();
  if (reads_together<Cache>(runs, Side::keys, layer.head_dim)) {
    stage_rows<true>(rows, head_dim, layout.key_width, keys);
  } else {
    stage_rows<false>(rows, head_dim, layout.key_width, keys);
  }
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int first_row = 0; first_row < block.rows; first_row += kScoreBatch) {
    if (first_row > 0) __syncthreads();  // the batch before has been read
    stage_queries(layer, block, queries, first_row, layout.query_width, batch);
    __syncthreads();
    const int row = warp * kScoreRows;
    if (first_row + row < block.rows) {
      score_rows(layer, block, first_row + row, batch + row * layout.query_width,
                 keys + lane * layout.key_width, layout, scores);
    }
  }
}

}  // namespace

void attention_scores(Stream stream, const AttentionLayer& layer, const void* queries, float* scores,
                      RowPart part) {
  if (on_tensor_cores(layer, layer.most_rows)) {
    attention_scores_mma(stream, layer, static_cast<const Bf16*>(queries), scores, part);
  }
  if (on_tensor_cores(layer, layer.fewest_rows)) return;
  for_storage(layer.storage, [&](auto storage) {
    for_storage(layer.cache, [&](auto cache) {
      using Storage = decltype(storage);
      launch("attention_scores", scores_kernel<Storage, decltype(cache)>, attention_scores_shape(layer, part),
             stream, layer, static_cast<const Storage*>(queries), scores, part);
    });
  });
}

}  // namespace plumbline::native::cuda
