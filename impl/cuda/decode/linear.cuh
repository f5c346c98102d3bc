// Linear layers of one row inside a persistent kernel: each warp sums rows of weights one after the other, in
// the order of impl/cuda/linear.h. For decode/step.cu.
#pragma once

#include <cstdint>

#include "impl/cuda/decode/threads.cuh"
#include "impl/cuda/device.cuh"
#include "impl/cuda/linear_jobs.cuh"
#include "impl/cuda/linear_terms.cuh"
#include "impl/cuda/prefetch.cuh"

namespace plumbline::native::cuda {

// 16 bytes each that a thread has on their way from memory.
inline constexpr int kPacksAhead = 8;

// Some steps of 256 terms of an output's rows of weights, and what is to be added to its sums.
template <typename T, int kWeights, typename Addends>
struct RowLoads {
  static constexpr int kSteps = kPacksAhead / (kWeights * Terms<T>::kPacks);
  Terms<T> terms[kSteps][kWeights];
  Addends addends;
};
template <typename T, typename Job>
using LoadsOf = RowLoads<T, Job::kWeights, typename Job::Addends>;

// from[0] to from[7], zeros from `left` on, which ends no pack in its middle.
template <typename T>
__device__ __forceinline__ void read_row_terms(const T* from, int left, Terms<T>& terms) {
#pragma unroll
  for (int pack = 0; pack < Terms<T>::kPacks; ++pack) {
    const int first = pack * Terms<T>::kPackTerms;
    terms.packs[pack] = {};
    if (first < left) {
      terms.packs[pack] = read_weights(reinterpret_cast<const typename Terms<T>::Pack*>(from + first));
    }
  }
}

// The warp's first loads. Weights depend on nothing, and an addend is a bias or the residual stream's element
// that the same lane has written: so it may be called before the layer's input is there.
template <typename T, typename Job>
__device__ __forceinline__ void begin_rows(const Job& job, int depth, LoadsOf<T, Job>& loads) {
  loads = {};  // also where nothing is read: what was there before need not be kept
  const int out = own_outputs().first;
  if (out >= job.outs()) return;
  depth = opaque(depth);
  const int lane = lane_of_thread(), steps = (depth + kSumLanes - 1) / kSumLanes;
  const int first = lane * kThreadLanes;
  if (lane == 0) loads.addends = job.addends(0, out);
#pragma unroll
  for (int w = 0; w < Job::kWeights; ++w) {
    const T* from = job.weight_row(w, out) + first;
#pragma unroll
    for (int b = 0; b < LoadsOf<T, Job>::kSteps; ++b) {
      if (b < steps) read_row_terms(from + b * kSumLanes, depth - first - b * kSumLanes, loads.terms[b][w]);
    }
  }
}

// x: the 8 terms of the thread's lanes.
template <typename T, int kWeights>
__device__ __forceinline__ void add_terms(const T* x, const Terms<T> (&weights)[kWeights],
                                          float (&sums)[kWeights][kThreadLanes]) {
  Terms<T> terms;
#pragma unroll
  for (int pack = 0; pack < Terms<T>::kPacks; ++pack) {
    terms.packs[pack] = reinterpret_cast<const typename Terms<T>::Pack*>(x)[pack];
  }
#pragma unroll
  for (int w = 0; w < kWeights; ++w) {
#pragma unroll
    for (int l = 0; l < kThreadLanes; ++l) sums[w][l] = fmaf(terms.get(l), weights[w].get(l), sums[w][l]);
  }
}

// The row is summed: its outputs are made, and the sums begin anew.
template <typename Job>
__device__ __forceinline__ void finish_row(const Job& job, std::int64_t out,
                                           const typename Job::Addends& addends,
                                           float (&sums)[Job::kWeights][kThreadLanes]) {
  float totals[Job::kWeights];
#pragma unroll
  for (int w = 0; w < Job::kWeights; ++w) {
    totals[w] = warp_sum(add_thread_lanes(sums[w]));
#pragma unroll
    for (int l = 0; l < kThreadLanes; ++l) sums[w][l] = 0.0f;
  }
  if (lane_of_thread() == 0) job.finish(0, out, totals, addends);
}

// All rows of the warp. x: [depth] in shared memory, zeros up to a multiple of 256. loads: begin_rows()'s.
// As soon as a step's terms are added those of the next steps, or of the next row, are asked for in their
// place. ahead: so many rows of the warp's later on are brought into the L2 cache; for many short rows, whose
// next one alone would keep too little on its way.
template <typename T, typename Job>
__device__ __forceinline__ void sum_rows(const Job& job, const T* x, int depth, LoadsOf<T, Job>& loads,
                                         int ahead = 0) {
  constexpr int kWeights = Job::kWeights, kSteps = LoadsOf<T, Job>::kSteps;
  depth = opaque(depth);
  const int outs = static_cast<int>(job.outs()), stride = own_outputs().stride;
  const int lane = lane_of_thread(), steps = (depth + kSumLanes - 1) / kSumLanes;
  int out = own_outputs().first;
  if (out >= outs) return;
  x += lane * kThreadLanes;
  float sums[kWeights][kThreadLanes] = {};
  for (int step = 0;;) {
    const bool ends = step + kSteps >= steps;
    const int next_step = ends ? 0 : step + kSteps;
    const int next_out = ends ? out + stride : out;
    const bool more = next_out < outs;
    const int next_first = next_step * kSumLanes + lane * kThreadLanes;
    const T* from[kWeights];
    typename Job::Addends next_addends{};
#pragma unroll
    for (int w = 0; w < kWeights; ++w) from[w] = job.weight_row(w, more ? next_out : out) + next_first;
    if (ends && more && lane == 0) next_addends = job.addends(0, next_out);
#pragma unroll
    for (int b = 0; b < kSteps; ++b) {
      if (step + b < steps) add_terms(x + (step + b) * kSumLanes, loads.terms[b], sums);
      if (!more || next_step + b >= steps) continue;
#pragma unroll
      for (int w = 0; w < kWeights; ++w) {
        read_row_terms(from[w] + b * kSumLanes, depth - next_first - b * kSumLanes, loads.terms[b][w]);
      }
    }
    if (ends) {
      if (ahead > 0 && out + ahead * stride < outs) {
        prefetch(job.weight_row(0, out + ahead * stride), static_cast<std::uint32_t>(depth) * sizeof(T),
                 lane);
      }
      finish_row(job, out, loads.addends, sums);
      loads.addends = next_addends;
    }
    if (!more) return;
    out = next_out;
    step = next_step;
  }
}

// Asks for the first of the block's rows of weights, as many as kPrefetchBytes allow.
template <typename T, typename Job>
__device__ __forceinline__ void prefetch_rows(const Job& job, int depth) {
  const auto row_bytes = static_cast<std::uint32_t>(depth) * static_cast<std::uint32_t>(sizeof(T));
  const WarpOutputs own = own_outputs();
  const int outs = static_cast<int>(job.outs()), lane = lane_of_thread();
  int out = own.first;
#pragma unroll 1
  for (int i = warp_of_thread(); out < outs && asked_ahead(i, Job::kWeights * std::int64_t{row_bytes});
       i += kDecodeWarps, out += own.stride) {
#pragma unroll
    for (int w = 0; w < Job::kWeights; ++w) prefetch(job.weight_row(w, out), row_bytes, lane);
  }
}

}  // namespace plumbline::native::cuda
