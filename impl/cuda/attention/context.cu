#include <cuda_runtime.h>

#include "impl/cuda/attention/attention.h"
#include "impl/cuda/attention/mma.h"
#include "impl/cuda/attention/rows.cuh"
#include "impl/cuda/attention/sums.cuh"
#include "impl/cuda/device.cuh"
#include "impl/cuda/launch.h"

namespace plumbline::native::cuda {
namespace {

// What one block computes.
struct ContextBlock {
  QueryTile tile;
  KeySpan seen;    // by some query of the tile
  KeySpan by_all;  // by every query
  std::int64_t kv_head;
  int group;      // query heads to a kv head
  int rows;       // of the tile: queries * group
  int first_row;  // of the batch
};

__device__ __forceinline__ ContextBlock this_block(const AttentionLayer& layer, int batch_rows) {
  ContextBlock block;
  block.tile = layer.tiles[blockIdx.x];
  block.group = static_cast<int>(layer.heads / layer.kv_heads);
  block.rows = block.tile.queries * block.group;
  const auto batches = gridDim.z / static_cast<unsigned>(layer.kv_heads);
  block.kv_head = blockIdx.z / batches;
  block.first_row = static_cast<int>(blockIdx.z % batches) * batch_rows;
  block.seen = keys_of_tile(block.tile, layer.window);
  block.by_all = {keys_of_query(block.tile, block.tile.queries - 1, layer.window).begin,
                  keys_of_query(block.tile, 0, layer.window).end};
  return block;
}

// The batch's rows: where their probabilities are and which keys they see.
__device__ __forceinline__ void find_batch(const AttentionLayer& layer, const ContextBlock& block,
                                           const float* probs, int batch, ContextRow* rows) {
  const int i = static_cast<int>(threadIdx.x);
  if (i >= batch) return;
  rows[i] = {nullptr, {0, 0}};
  if (block.first_row + i >= block.rows) return;
  const TileRow at = tile_row(block.first_row + i, block.kv_head, block.group);
  rows[i].probs = probs + block.tile.scores + at.head * block.tile.head_stride + at.query * block.tile.length;
  rows[i].keys = keys_of_query(block.tile, at.query, layer.window);
}

// tile: [kKeyBlock, width], the batch's probabilities of the keys from `first` on; 0 where forbidden, since
// what is there was not written.
__device__ __forceinline__ void stage_probs(const ContextRow* rows, const ContextLayout& layout,
                                            std::int64_t first, float* tile) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll 4
  for (int row = warp; row < layout.batch; row += kAttentionThreads / kWarp) {
    const ContextRow from = rows[row];
#pragma unroll
    for (int key = lane; key < kKeyBlock; key += kWarp) {
      const bool allowed = first + key >= from.keys.begin && first + key < from.keys.end;
      tile[key * layout.prob_width + row] = allowed ? from.probs[first + key] : 0.0f;
    }
  }
}

// Four features of one row, of which `count` are there.
template <typename T>
__device__ __forceinline__ void put_quad(const float (&totals)[kQuad], int count, T* to) {
#pragma unroll
  for (int f = 0; f < kQuad; ++f) {
    if (f < count) to[f] = narrow<T>(totals[f]);
  }
}

// The thread's sums, `row` being its first of the tile: to the context, or of this block of keys to partial.
template <int kRows, typename Storage>
__device__ __forceinline__ void put_totals(const AttentionLayer& layer, const ContextBlock& block, int row,
                                           int feature, const float (&totals)[kRows][kQuad], float* partial,
                                           Storage* context) {
  const int count = static_cast<int>(layer.head_dim) - feature;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    if (row + r >= block.rows) break;
    const TileRow at = tile_row(row + r, block.kv_head, block.group);
    if (partial == nullptr) {
      const std::int64_t to = (block.tile.first_row + at.query) * layer.heads + at.head;
      put_quad(totals[r], count, context + to * layer.head_dim + feature);
    } else {
      const std::int64_t first = (at.head * block.tile.queries + at.query) * key_blocks(layer.most_keys);
      put_quad(totals[r], count,
               partial + block.tile.partial + (first + blockIdx.y) * layer.head_dim + feature);
    }
  }
}

// The second argument: blocks of a multiprocessor, as the registers that the sums take allow.
template <typename Storage, typename Cache, int kRows>
__global__ void __launch_bounds__(kAttentionThreads, kRows == 8 ? 3 : 4)
    context_kernel(AttentionLayer layer, const float* probs, float* partial, Storage* context) {
  const ContextLayout layout = context_layout(layer.head_dim, kRows);
  const ContextBlock block = this_block(layer, layout.batch);
  const std::int64_t begin = (block.seen.begin / kKeyBlock + blockIdx.y) * kKeyBlock;
  if (block.first_row >= block.rows || begin >= block.seen.end) return;
  if (on_tensor_cores(layer, block.tile)) return;
  const std::int64_t end = partial == nullptr ? block.seen.end : begin + 1;

  auto* memory = shared_memory<unsigned char>();
  auto* values = reinterpret_cast<float*>(memory);
  auto* weights = reinterpret_cast<float*>(memory + layout.probs);
  auto* batch = reinterpret_cast<ContextRow*>(memory + layout.table);
  auto** rows = reinterpret_cast<const Cache**>(memory + layout.rows);
  const DeviceRuns& runs = layer.runs[block.tile.step].held;
  const auto head_dim = static_cast<int>(layer.head_dim);
  const bool together = reads_together<Cache>(runs, Side::values, layer.head_dim);
  find_batch(layer, block, probs, layout.batch, batch);
  find_rows(runs, Side::values, block.kv_head, begin, block.seen, rows);
  __syncthreads();

  const int thread = static_cast<int>(threadIdx.x);
  const int feature = (thread & ((1 << layout.lanes_log2) - 1)) * kQuad;
  const int row = (thread >> layout.lanes_log2) * kRows;
  const bool active = feature < head_dim && row < layout.batch && block.first_row + row < block.rows;
  float totals[kRows][kQuad] = {};
  for (std::int64_t first = begin; first < end; first += kKeyBlock) {
    if (together) {
      stage_rows<true>(rows, head_dim, layout.value_width, values);
    } else {
      stage_rows<false>(rows, head_dim, layout.value_width, values);
    }
    stage_probs(batch, layout, first, weights);
    __syncthreads();
    const bool more = first + kKeyBlock < end;
    if (more) find_rows(runs, Side::values, block.kv_head, first + kKeyBlock, block.seen, rows);
    if (active) {
      add_keys<kRows>(block.by_all, batch + row, first, values + feature, weights + row, layout, totals);
    }
    if (more) __syncthreads();  // values and weights have been read
  }
  if (active) put_totals<kRows>(layer, block, block.first_row + row, feature, totals, partial, context);
}

// The blocks' sums of one feature of one row, one after the other.
template <typename Storage>
__global__ void __launch_bounds__(kAttentionThreads)
    add_partials_kernel(AttentionLayer layer, const float* partial, Storage* context) {
  const QueryTile tile = layer.tiles[blockIdx.x];
  const std::int64_t i = std::int64_t{blockIdx.y} * kAttentionThreads + threadIdx.x;
  const std::int64_t width = layer.heads * layer.head_dim;
  if (i >= tile.queries * width) return;
  const std::int64_t query = i / width, head = i % width / layer.head_dim, feature = i % layer.head_dim;
  const KeySpan keys = keys_of_query(tile, query, layer.window);
  const std::int64_t first = keys_of_tile(tile, layer.window).begin / kKeyBlock;
  const std::int64_t row = (head * tile.queries + query) * key_blocks(layer.most_keys);
  const float* sums = partial + tile.partial + row * layer.head_dim + feature;
  float total = 0;
#pragma unroll 16
  for (std::int64_t b = keys.begin / kKeyBlock - first; (first + b) * kKeyBlock < keys.end; ++b) {
    total += sums[b * layer.head_dim];
  }
  context[tile.first_row * width + i] = narrow<Storage>(total);
}

template <typename Storage, typename Cache>
void launch_context(Stream stream, const AttentionLayer& layer, const float* probs, float* partial,
                    Storage* context) {
  const LaunchShape shape = attention_context_shape(layer, partial != nullptr);
  const int rows = attention_context_layout(layer).thread_rows;
  const auto kernel = rows == 1   ? context_kernel<Storage, Cache, 1>
                      : rows == 2 ? context_kernel<Storage, Cache, 2>
                                  : context_kernel<Storage, Cache, 8>;
  launch("attention_context", kernel, shape, stream, layer, probs, partial, context);
}

}  // namespace

void attention_context(Stream stream, const AttentionLayer& layer, const float* probs, float* partial,
                       void* context) {
  if (on_tensor_cores(layer, layer.most_rows)) {
    attention_context_mma(stream, layer, probs, partial, static_cast<Bf16*>(context));
  }
  for_storage(layer.storage, [&](auto storage) {
    using Storage = decltype(storage);
    auto* const out = static_cast<Storage*>(context);
    if (!on_tensor_cores(layer, layer.fewest_rows)) {
      for_storage(layer.cache, [&](auto cache) {
        launch_context<Storage, decltype(cache)>(stream, layer, probs, partial, out);
      });
    }
    if (partial == nullptr) return;
    launch("attention_context's sum", add_partials_kernel<Storage>, attention_partials_shape(layer), stream,
           layer, static_cast<const float*>(partial), out);
  });
}

}  // namespace plumbline::native::cuda
