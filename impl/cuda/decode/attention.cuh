// Attention of one query inside the kernel of a decode step: a task is a query head and a slice of its
// context, in the orders of impl/cuda/attention/attention.h. The new token's key and value come from the
// projections, rounded as the cache would give them back, so that nobody waits for the cache. For
// decode/step.cu.
#pragma once

#include <cstdint>

#include "impl/cuda/decode/arguments.cuh"
#include "impl/cuda/decode/keys.cuh"
#include "impl/cuda/decode/threads.cuh"
#include "impl/cuda/decode/token.cuh"
#include "impl/cuda/exp.h"

namespace plumbline::native::cuda {

// What tasks share: one query, one layer.
template <typename T, typename Cache>
struct DecodeAttention {
  const DecodeArguments<T>& in;
  const DecodeMemory& shared;
  const StepRuns& runs;  // in shared memory
  DecodeKeys keys;

  // What a task can have before the projections are there.
  __device__ __forceinline__ void ask_for_tile(const DecodeTask& task) const {
    ask_for_keys<Cache>(shared, runs.held, keys, task.kv_head, 0);
    ask_for_values<Cache>(shared, runs.held, keys, task, head_dim());
  }
  // Behind its last barrier a task reads the blocks' sums alone: the next one's tile may come.
  __device__ __forceinline__ void run(const DecodeTask& task) const {
    take_new_token<T, Cache>(in, shared, runs.room, task);
    wait_for_copies();
    __syncthreads();
    const float largest = score(task);
    weigh(largest);
    __syncthreads();
    sum_values(task, divisor());
    __syncthreads();
    put_context(task);
  }

 private:
  __device__ __forceinline__ int head_dim() const { return static_cast<int>(in.sizes.head_dim); }

  template <typename Key>
  __device__ __forceinline__ float product(const Key* key) const {
    const float* query = shared.at<float>(&DecodeLayout::query);
    float lanes[kGroupFeatures] = {};
#pragma unroll 2
    for (int feature = 0; feature < head_dim(); feature += kGroupFeatures) {
      const auto q = *reinterpret_cast<const FeatureGroup<float>*>(query + feature);
      const auto k = *reinterpret_cast<const FeatureGroup<Key>*>(key + feature);
#pragma unroll
      for (int l = 0; l < kGroupFeatures; ++l) lanes[l] = fmaf(q.values[l], widen(k.values[l]), lanes[l]);
    }
    return sum_of_lanes(lanes) * in.scale;
  }

  // All scores to shared memory, and the largest of the thread's. The new key is the last thread's, which has
  // an old one of a full tile only.
  __device__ __forceinline__ float thread_scores(const DecodeTask& task) const {
    constexpr int kPack = 16 / static_cast<int>(sizeof(Cache));
    const DecodeLayout& layout = *shared.layout;
    const Cache* tile_memory = shared.at<Cache>(&DecodeLayout::key_tile);
    float* scores = shared.at<float>(&DecodeLayout::scores);
    const int thread = this_thread();
    float largest = -INFINITY;
    const auto put = [&](int key, float score) {
      scores[key - keys.base] = score;
      largest = fmaxf(largest, score);
    };
    if (thread == kDecodeThreads - 1) {
      put(keys.past, product(static_cast<const float*>(shared.at<float>(&DecodeLayout::key))));
    }
    for (int tile = 0; keys.base + tile * layout.tile_keys < keys.past; ++tile) {
      if (tile > 0) {
        __syncthreads();  // the tile before has been read
        ask_for_keys<Cache>(shared, runs.held, keys, task.kv_head, tile);
        wait_for_copies();
        __syncthreads();
      }
      const int key = keys.base + tile * layout.tile_keys + thread;
      if (thread >= layout.tile_keys || key < keys.begin || key >= keys.past) continue;
      put(key, product(tile_memory + thread * layout.key_stride * kPack));
    }
    return largest;
  }

  // The largest score; a NaN is passed over.
  __device__ __forceinline__ float score(const DecodeTask& task) const {
    float* largests = shared.at<float>(&DecodeLayout::largests);
    const float of_warp = warp_largest(thread_scores(task));
    if (lane_of_thread() == 0) largests[warp_of_thread()] = of_warp;
    __syncthreads();
    return warp_largest(largests[lane_of_thread() % kDecodeWarps]);
  }

  // e^(score - largest) in the scores' place.
  __device__ __forceinline__ void weigh(float largest) const {
    float* scores = shared.at<float>(&DecodeLayout::scores) - keys.base;
#pragma unroll 1
    for (int key = keys.begin + this_thread(); key <= keys.past; key += kDecodeThreads) {
      scores[key] = exp_not_positive(scores[key] - largest);
    }
  }

  // What the weights are divided by: every warp adds all 128 lanes, so that none waits for another.
  __device__ __forceinline__ float divisor() const {
    static_assert(kAttentionThreads == 4 * kWarp, "the lanes of the denominator");
    const float* weights = shared.at<float>(&DecodeLayout::scores) + (keys.begin - keys.base);
    double lanes[4] = {};
#pragma unroll 1
    for (int first = lane_of_thread(); first < keys.seen(); first += 4 * kWarp) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (first + i * kWarp < keys.seen()) lanes[i] += weights[first + i * kWarp];
      }
    }
    return static_cast<float>(warp_sum((lanes[0] + lanes[2]) + (lanes[1] + lanes[3])));
  }

  // A warp's lane sums one feature over a block of keys, [from, to): value(key) is its value.
  template <typename Value>
  __device__ __forceinline__ float sum_of_block(int from, int to, const float* probs,
                                                const Value& value) const {
    float sum = 0.0f;
#pragma unroll 8
    for (int key = from; key < to; ++key) sum = fmaf(probs[key], widen(value(key)), sum);
    return sum;
  }

  // Blocks of keys in turn for each warp. What it divides it keeps to itself: other warps may still add up
  // the denominator.
  __device__ __forceinline__ void sum_values(const DecodeTask& task, float divided_by) const {
    constexpr int kBlock = static_cast<int>(kKeyBlock);
    const int lane = lane_of_thread(), warp = warp_of_thread(), feature = task.slice * kSliceFeatures + lane;
    const float* weights = shared.at<float>(&DecodeLayout::scores) - keys.base;
    const Cache* tile = shared.at<Cache>(&DecodeLayout::value_tile) + lane;
    for (int block = warp; block < keys.blocks(); block += kDecodeWarps) {
      const int first = keys.base + block * kBlock, end = first + kBlock;
      const int from = first > keys.begin ? first : keys.begin;
      const int old = end < keys.past ? end : keys.past, to = end <= keys.past ? end : keys.past + 1;
      float* probs = shared.at<float>(&DecodeLayout::probs) + warp * kBlock - first;
      __syncwarp();  // the block before has been summed
#pragma unroll 2
      for (int key = from + lane; key < to; key += kWarp) probs[key] = weights[key] / divided_by;
      __syncwarp();
      if (feature >= head_dim()) continue;
      float sum;
      if (end <= keys.base + shared.layout->tile_keys) {
        sum =
            sum_of_block(from, old, probs, [&](int key) { return tile[(key - keys.base) * kSliceFeatures]; });
      } else {
        sum = sum_of_block(from, old, probs,
                           [&](int key) { return value_row<Cache>(runs.held, task.kv_head, key)[feature]; });
      }
      if (to > keys.past) sum = fmaf(probs[keys.past], shared.at<float>(&DecodeLayout::value)[lane], sum);
      shared.at<float>(&DecodeLayout::partials)[block * kSliceFeatures + lane] = sum;
    }
  }

  __device__ __forceinline__ void put_context(const DecodeTask& task) const {
    const int lane = this_thread(), feature = task.slice * kSliceFeatures + lane;
    if (lane >= kSliceFeatures || feature >= head_dim()) return;
    const float* partials = shared.at<float>(&DecodeLayout::partials) + lane;
    float total = 0.0f;
#pragma unroll 8
    for (int block = 0; block < keys.blocks(); ++block) total += partials[block * kSliceFeatures];
    in.scratch.context[task.head * head_dim() + feature] = narrow<T>(total);
  }
};

}  // namespace plumbline::native::cuda
