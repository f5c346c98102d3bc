// The kernel of all linear layers: sums in the order of linear.h, and what becomes of them as a template
// parameter. For linear.cu.
#pragma once

#include <cstdint>

#include "impl/cuda/device.cuh"
#include "impl/cuda/linear.h"
#include "impl/cuda/linear_plan.h"
#include "impl/cuda/linear_terms.cuh"

namespace plumbline::native::cuda {

// Sums of kCount (a power of two) values over the warp, each by the tree of warp_sum: lane l is left with
// that of value l / (32 / kCount). The lanes of a pair pass each other the halves they do not keep, so that
// all take 16 shuffles where one after the other would take 80.
template <int kCount, int kDistance = kWarp / 2>
__device__ __forceinline__ float scatter_sums(const float (&values)[kCount], int lane) {
  if constexpr (kCount == 1) {
    float sum = values[0];
#pragma unroll
    for (int distance = kDistance; distance > 0; distance /= 2) {
      sum += __shfl_xor_sync(0xffffffffu, sum, distance);
    }
    return sum;
  } else {
    constexpr int kKept = kCount / 2;
    const bool upper = (lane & kDistance) != 0;
    float kept[kKept];
#pragma unroll
    for (int i = 0; i < kKept; ++i) {
      const float own = upper ? values[kKept + i] : values[i];
      const float passed = upper ? values[i] : values[kKept + i];
      kept[i] = own + __shfl_xor_sync(0xffffffffu, passed, kDistance);
    }
    return scatter_sums<kKept, kDistance / 2>(kept, lane);
  }
}

// A tile for each warp. Job: see linear_jobs.cuh.
template <typename T, typename Job, int kRows, int kOuts, bool kVectors>
__global__ void __launch_bounds__(kMostLinearThreads)
    linear_kernel(Job job, LinearGrid grid, const T* x, std::int64_t rows, std::int64_t depth) {
  constexpr int kWeights = Job::kWeights;
  constexpr int kSums = kRows * kOuts;  // of each weight
  constexpr int kVectorsRead = kRows + kOuts * kWeights;
  // Steps that are loaded together, one batch ahead of the sums: in about 48 registers.
  constexpr int kRoom = 192 / (kVectorsRead * kThreadLanes * static_cast<int>(sizeof(T)));
  constexpr int kBatch = kRoom > 1 ? kRoom : 1;

  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const TilePlace place =
      place_of_warp(grid, blockIdx.x, threadIdx.x / kWarp, blockDim.x / kWarp, kRows, kOuts);
  const std::int64_t outs = job.outs();
  if (place.row >= rows || place.out >= outs) return;

  // Of a tile that reaches beyond the last row or output, the places beyond repeat the last one's sums.
  const int first = lane * kThreadLanes;
  const T* sources[kVectorsRead];
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    sources[r] = x + (place.row + r < rows ? place.row + r : rows - 1) * depth + first;
  }
#pragma unroll
  for (int o = 0; o < kOuts; ++o) {
    const std::int64_t out = place.out + o < outs ? place.out + o : outs - 1;
#pragma unroll
    for (int w = 0; w < kWeights; ++w) sources[kRows + o * kWeights + w] = job.weight_row(w, out) + first;
  }

  // The one output that this lane will finish: what is added to its sums is on its way meanwhile.
  constexpr int kLanesOfSum = kWarp / kSums;
  const int mine = lane / kLanesOfSum;
  const std::int64_t row = place.row + mine / kOuts;
  const std::int64_t out = place.out + mine % kOuts;
  const bool writes = lane % kLanesOfSum == 0 && row < rows && out < outs;
  typename Job::Addends addends{};
  if (writes) addends = job.addends(row, out);

  float sums[kWeights][kSums][kThreadLanes] = {};
  Terms<T> now[kBatch][kVectorsRead];
  std::int64_t unread = depth - first;  // of this thread's terms and those between them
  const auto read_batch = [&](Terms<T>(&terms)[kBatch][kVectorsRead]) {
#pragma unroll
    for (int v = 0; v < kVectorsRead; ++v) {
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        terms[b][v] = read_terms<kVectors>(sources[v] + b * kSumLanes, unread - b * kSumLanes);
      }
      sources[v] += kBatch * kSumLanes;
    }
    unread -= kBatch * kSumLanes;
  };
  const std::int64_t steps = (depth + kSumLanes - 1) / kSumLanes;
  read_batch(now);
  for (std::int64_t step = 0; step < steps; step += kBatch) {
    Terms<T> next[kBatch][kVectorsRead];
    read_batch(next);
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      if (b > 0 && step + b >= steps) break;
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
#pragma unroll
        for (int v = 0; v < kOuts * kWeights; ++v) {
#pragma unroll
          for (int l = 0; l < kThreadLanes; ++l) {
            float& sum = sums[v % kWeights][r * kOuts + v / kWeights][l];
            sum = fmaf(now[b][r].get(l), now[b][kRows + v].get(l), sum);
          }
        }
      }
    }
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
#pragma unroll
      for (int v = 0; v < kVectorsRead; ++v) now[b][v] = next[b][v];
    }
  }

  float totals[kWeights];
#pragma unroll
  for (int w = 0; w < kWeights; ++w) {
    float of_thread[kSums];
#pragma unroll
    for (int s = 0; s < kSums; ++s) of_thread[s] = add_thread_lanes(sums[w][s]);
    totals[w] = scatter_sums<kSums>(of_thread, lane);
  }
  if (writes) job.finish(row, out, totals, addends);
}

}  // namespace plumbline::native::cuda
