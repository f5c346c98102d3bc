// The new token's query, key and value inside the kernel of a decode step: rotated, rounded as the cache
// gives them back, and put into the cache. For decode/step.cu.
#pragma once

#include <cstdint>

#include "impl/cuda/decode/arguments.cuh"
#include "impl/cuda/decode/keys.cuh"
#include "impl/cuda/decode/threads.cuh"
#include "impl/cuda/rotation.cuh"

namespace plumbline::native::cuda {

// A pair of features of a query or a key, rotated.
template <typename T>
__device__ __forceinline__ Pairs<T, 1> rotated_pair(const DecodeMemory& shared, const T* head, int pair,
                                                    int half) {
  const float* cos = shared.at<float>(&DecodeLayout::cos) + pair;
  const float* sin = shared.at<float>(&DecodeLayout::sin) + pair;
  auto values = read_pairs<1>(head + pair, half);
  rotate(values, read_pairs<1>(cos, half), read_pairs<1>(sin, half));
  return values;
}

// The task's query, key and slice of the value to shared memory, as f32; those that are the task's to store
// to `room` of the cache. A thread for each pair of features of query and key, and for each feature of the
// value.
template <typename T, typename Cache>
__device__ __forceinline__ void take_new_token(const DecodeArguments<T>& in, const DecodeMemory& shared,
                                               const DeviceRuns& room, const DecodeTask& task) {
  const int head_dim = static_cast<int>(in.sizes.head_dim), half = head_dim / 2, thread = this_thread();
  const T* queries = in.scratch.projections;
  const T* keys = queries + in.sizes.heads * head_dim;
  if (thread < half) {
    const auto made = rotated_pair(shared, queries + task.head * head_dim, thread, half);
    float* query = shared.at<float>(&DecodeLayout::query);
    query[thread] = widen(made.first.values[0]);
    query[thread + half] = widen(made.second.values[0]);
    return;
  }
  if (thread < 2 * half) {
    const int pair = thread - half;
    const auto made = rotated_pair(shared, keys + task.kv_head * head_dim, pair, half);
    const Cache first = narrow<Cache>(widen(made.first.values[0]));
    const Cache second = narrow<Cache>(widen(made.second.values[0]));
    float* key = shared.at<float>(&DecodeLayout::key);
    key[pair] = widen(first);
    key[pair + half] = widen(second);
    if (!task.stores_keys) return;
    Cache* to = key_row<Cache>(room, task.kv_head, 0);
    to[pair] = first;
    to[pair + half] = second;
    return;
  }
  const int lane = thread - 2 * half, feature = task.slice * kSliceFeatures + lane;
  if (lane >= kSliceFeatures || feature >= head_dim) return;
  const T* values = keys + in.sizes.kv_heads * head_dim;
  const Cache kept = narrow<Cache>(widen(values[task.kv_head * head_dim + feature]));
  shared.at<float>(&DecodeLayout::value)[lane] = widen(kept);
  if (task.stores_values) value_row<Cache>(room, task.kv_head, 0)[feature] = kept;
}

}  // namespace plumbline::native::cuda
