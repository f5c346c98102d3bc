#include "impl/cuda/launch.h"
#include "impl/cuda/sampling/block.cuh"
#include "impl/cuda/sampling/sampling.h"

namespace plumbline::native::cuda {
namespace {

// `logits` may be `scores`.
template <typename T>
__global__ void __launch_bounds__(kSampleThreads)
    take_kernel(const T* logits, std::int64_t vocab, float* scores, Census* census) {
  Packed<float> four;
  Census own;
#pragma unroll
  for (int i = 0; i < kSamplePerThread; ++i) {
    const std::int64_t id = first_id() + i;
    four.values[i] = id < vocab ? widen(logits[id]) : kDroppedScore;
    if (id < vocab) own = merged(own, census_of(four.values[i], static_cast<std::uint32_t>(id)));
  }
  write_four(scores, four);
  own = over_block(own, shared_memory<Census>());
  if (threadIdx.x == 0) census[blockIdx.x] = own;
}

__global__ void __launch_bounds__(kSampleThreads)
    penalize_kernel(const PenaltyEntry* entries, std::int64_t count, PenaltyValues values, float* scores) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kSampleThreads + threadIdx.x;
  if (i >= count) return;
  const PenaltyEntry entry = entries[i];
  scores[entry.token] = penalized(scores[entry.token], entry, values);
}

// Division by a positive number keeps the order: the largest stays the largest.
__global__ void __launch_bounds__(kSampleThreads)
    scale_kernel(SamplingBoard board, const Census* census, float divisor, Fixed* sums) {
  const Census all = over_all(census, board.chunks, shared_memory<Census>());
  const float largest = largest_of(all) / divisor;
  if (blockIdx.x == 0 && threadIdx.x == 0) *board.largest = largest;
  for (int which = 0; which < 2; ++which) {
    for (std::int64_t bin = static_cast<std::int64_t>(blockIdx.x) * kSampleThreads + threadIdx.x;
         bin < kDigits * kBins; bin += static_cast<std::int64_t>(gridDim.x) * kSampleThreads) {
      board.bins[which][bin] = {};
    }
  }
  Packed<float> four = read_four(board.scores);
  Fixed own;
#pragma unroll
  for (int i = 0; i < kSamplePerThread; ++i) {
    four.values[i] = four.values[i] / divisor;
    own = plus(own, fixed_of(weight_of(four.values[i], largest)));
  }
  write_four(board.scores, four);
  own = over_block(own, shared_memory<Fixed>());
  if (threadIdx.x == 0) sums[blockIdx.x] = own;
}

template <typename T>
void take(Stream stream, const SamplingBoard& board, const void* logits, int census) {
  launch("take_logits", take_kernel<T>, shape_of_chunks(board.chunks), stream, static_cast<const T*>(logits),
         board.vocab, board.scores, board.census[census]);
}

}  // namespace

void take_logits(Stream stream, const SamplingBoard& board, DType dtype, const void* logits, int census) {
  if (dtype == DType::bf16) return take<Bf16>(stream, board, logits, census);
  if (dtype == DType::f16) return take<F16>(stream, board, logits, census);
  require(dtype == DType::f32, "cuda sampler: logits that are neither f32, bf16 nor f16");
  take<float>(stream, board, logits, census);
}

void take_census(Stream stream, const SamplingBoard& board, int census) {
  take<float>(stream, board, board.scores, census);
}

void penalize(Stream stream, const SamplingBoard& board, const PenaltyEntry* entries, std::int64_t count,
              const PenaltyValues& values) {
  launch("penalize", penalize_kernel, shape_of_penalties(count), stream, entries, count, values,
         board.scores);
}

void scale(Stream stream, const SamplingBoard& board, int census, float divisor, int sums_out) {
  launch("scale", scale_kernel, shape_of_chunks(board.chunks), stream, board, board.census[census], divisor,
         board.sums[sums_out]);
}

}  // namespace plumbline::native::cuda
