#include <cuda_runtime.h>

#include "impl/cuda/attention/attention.h"
#include "impl/cuda/device.cuh"
#include "impl/cuda/exp.h"
#include "impl/cuda/launch.h"

namespace plumbline::native::cuda {
namespace {

constexpr int kHeld = 8;  // scores of a thread that are read once; beyond them they are read again

// Of the block's threads; a NaN is passed over. shared: [warps].
__device__ __forceinline__ float block_largest(float value, float* shared) {
  const float largest = warp_largest(value);
  if (threadIdx.x % kWarp == 0) shared[threadIdx.x / kWarp] = largest;
  __syncthreads();
  return fmaxf(fmaxf(shared[0], shared[1]), fmaxf(shared[2], shared[3]));
}

// By the tree l + (l + 64), + 32, ..., + 1; every warp adds all of them. shared: [threads].
__device__ __forceinline__ double block_sum(double value, double* shared) {
  shared[threadIdx.x] = value;
  __syncthreads();
  const double* lane = shared + threadIdx.x % kWarp;
  return warp_sum((lane[0] + lane[2 * kWarp]) + (lane[kWarp] + lane[3 * kWarp]));
}
static_assert(kAttentionThreads == 4 * kWarp, "the two functions above add four warps");

// One row. Each thread reads and writes its own keys only, so probs may be scores.
__device__ __forceinline__ void softmax_row(const float* scores, KeySpan keys, float* probs) {
  auto* sums = shared_memory<double>();
  auto* largests = reinterpret_cast<float*>(sums + kAttentionThreads);
  const std::int64_t own = keys.begin + threadIdx.x;
  const std::int64_t rest = own + kHeld * kSoftmaxLanes;
  float held[kHeld];
  float largest = -INFINITY;
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const std::int64_t key = own + i * kSoftmaxLanes;
    held[i] = key < keys.end ? scores[key] : -INFINITY;
    largest = fmaxf(largest, held[i]);
  }
#pragma unroll 8
  for (std::int64_t key = rest; key < keys.end; key += kSoftmaxLanes) largest = fmaxf(largest, scores[key]);
  largest = block_largest(largest, largests);

  double sum = 0;
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    if (own + i * kSoftmaxLanes >= keys.end) break;
    held[i] = exp_not_positive(held[i] - largest);
    sum += held[i];
  }
#pragma unroll 8
  for (std::int64_t key = rest; key < keys.end; key += kSoftmaxLanes) {
    sum += exp_not_positive(scores[key] - largest);
  }
  const auto divisor = static_cast<float>(block_sum(sum, sums));

#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const std::int64_t key = own + i * kSoftmaxLanes;
    if (key < keys.end) probs[key] = held[i] / divisor;
  }
#pragma unroll 4
  for (std::int64_t key = rest; key < keys.end; key += kSoftmaxLanes) {
    probs[key] = exp_not_positive(scores[key] - largest) / divisor;
  }
}

__device__ __forceinline__ void clear(float* row, std::int64_t begin, std::int64_t end) {
  for (std::int64_t key = begin + threadIdx.x; key < end; key += kAttentionThreads) row[key] = 0;
}

__global__ void __launch_bounds__(kAttentionThreads)
    softmax_kernel(AttentionLayer layer, const float* scores, float* probs, RowPart part) {
  const QueryTile tile = layer.tiles[blockIdx.x];
  const std::int64_t query = blockIdx.y;
  if (query >= tile.queries) return;
  const KeySpan keys = keys_of_query(tile, query, layer.window);
  const std::int64_t row = tile.scores + blockIdx.z * tile.head_stride + query * tile.length;
  softmax_row(scores + row, keys, probs + row);
  if (part == RowPart::allowed) return;
  clear(probs + row, 0, keys.begin);
  clear(probs + row, keys.end, tile.length);
}

}  // namespace

void attention_softmax(Stream stream, const AttentionLayer& layer, const float* scores, float* probs,
                       RowPart part) {
  launch("attention_softmax", softmax_kernel, attention_softmax_shape(layer), stream, layer, scores, probs,
         part);
}

}  // namespace plumbline::native::cuda
