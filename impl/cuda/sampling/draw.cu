#include "impl/cuda/launch.h"
#include "impl/cuda/sampling/block.cuh"
#include "impl/cuda/sampling/sampling.h"

namespace plumbline::native::cuda {
namespace {

__device__ void leave_sum(const Packed<float>& four, Fixed* sums) {
  Fixed own;
#pragma unroll
  for (int i = 0; i < kSamplePerThread; ++i) own = plus(own, fixed_of(four.values[i]));
  own = over_block(own, shared_memory<Fixed>());
  if (threadIdx.x == 0) sums[blockIdx.x] = own;
}

__global__ void __launch_bounds__(kSampleThreads)
    softmax_kernel(SamplingBoard board, const Fixed* sums_in, Fixed* sums_out) {
  const float largest = *board.largest;
  const auto divisor = static_cast<float>(as_f64(over_all(sums_in, board.chunks, shared_memory<Fixed>())));
  Packed<float> four = read_four(board.scores);
#pragma unroll
  for (int i = 0; i < kSamplePerThread; ++i) {
    four.values[i] = weight_of(four.values[i], largest) / divisor;
  }
  write_four(board.probabilities, four);
  leave_sum(four, sums_out);
}

// What lies beyond the vocabulary has been written by softmax_kernel: 0.
__global__ void __launch_bounds__(kSampleThreads) sum_kernel(const float* probabilities, Fixed* sums) {
  leave_sum(read_four(probabilities), sums);
}

// The first of the threads' places at which the sum of their amounts, in thread order and after `before`,
// exceeds the uniform, the last that amounts to something if none does; `place` of that thread, -1 where all
// amount to nothing. In all threads; `below`: the sum before that place.
struct Found {
  int place;
  Fixed below;
};
template <typename Amount>
__device__ Found find(int places, const Amount& amount, Fixed before, double uniform) {
  const int per_thread = (places + kSampleThreads - 1) / kSampleThreads;
  const int first = static_cast<int>(threadIdx.x) * per_thread;
  const int end = first + per_thread < places ? first + per_thread : places;
  Fixed own;
  int last = -1;
  for (int i = first; i < end; ++i) {
    own = plus(own, amount(i));
    if (!is_zero(amount(i))) last = i;
  }
  const Ahead ahead = scan_block(own, shared_memory<Fixed>());
  Fixed below = plus(before, ahead.before);
  const bool crosses = as_f64(plus(before, ahead.total)) > uniform;
  const bool is_last =
      last >= 0 && ahead.before.hi + own.hi == ahead.total.hi && ahead.before.lo + own.lo == ahead.total.lo;
  const bool has_it = crosses ? as_f64(below) <= uniform && as_f64(plus(below, own)) > uniform : is_last;
  Found* const found = reinterpret_cast<Found*>(shared_memory<unsigned char>() + kSampleScratch);
  if (threadIdx.x == 0) *found = {-1, before};
  __syncthreads();
  if (has_it) {
    int i = first;
    for (; i < (crosses ? end - 1 : last); ++i) {
      const Fixed with = plus(below, amount(i));
      if (crosses && as_f64(with) > uniform) break;
      below = with;
    }
    *found = {i, below};
  }
  __syncthreads();
  const Found result = *found;
  __syncthreads();
  return result;
}

__device__ void write_census(const SamplingBoard& board, int censuses) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    if (i >= censuses) break;
    const Census all = over_all(board.census[i], board.chunks, shared_memory<Census>());
    if (threadIdx.x == 0) board.result->census[i] = all;
  }
}

__global__ void __launch_bounds__(kSampleThreads)
    draw_kernel(SamplingBoard board, const Fixed* sums, double uniform, int censuses) {
  write_census(board, censuses);
  const auto of_chunk = [&](int chunk) { return sums[chunk]; };
  const Found chunk = find(static_cast<int>(board.chunks), of_chunk, {}, uniform);
  if (chunk.place < 0) {
    if (threadIdx.x == 0) board.result->token = -1;
    return;
  }
  const float* const probabilities = board.probabilities + static_cast<std::int64_t>(chunk.place) * kChunk;
  const auto of_token = [&](int i) { return fixed_of(probabilities[i]); };
  const Found token = find(kChunk, of_token, chunk.below, uniform);
  if (threadIdx.x == 0) board.result->token = chunk.place * kChunk + token.place;
}

__global__ void __launch_bounds__(kSampleThreads) report_kernel(SamplingBoard board, int censuses) {
  write_census(board, censuses);
  if (threadIdx.x == 0) board.result->token = argmax_of(board.result->census[censuses - 1]);
}

constexpr std::size_t kFoundBytes = 32;
static_assert(sizeof(Found) <= kFoundBytes);

}  // namespace

void softmax(Stream stream, const SamplingBoard& board, int sums_in, int sums_out) {
  launch("softmax", softmax_kernel, shape_of_chunks(board.chunks), stream, board, board.sums[sums_in],
         board.sums[sums_out]);
}

void sum_probabilities(Stream stream, const SamplingBoard& board, int sums_out) {
  launch("sum_probabilities", sum_kernel, shape_of_chunks(board.chunks), stream, board.probabilities,
         board.sums[sums_out]);
}

void draw(Stream stream, const SamplingBoard& board, int sums_in, double uniform, int censuses) {
  launch("draw", draw_kernel, shape_of_chunks(1, kSampleScratch + kFoundBytes), stream, board,
         board.sums[sums_in], uniform, censuses);
}

void report(Stream stream, const SamplingBoard& board, int censuses) {
  launch("report", report_kernel, shape_of_one_block(), stream, board, censuses);
}

}  // namespace plumbline::native::cuda
