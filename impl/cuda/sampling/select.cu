#include "impl/cuda/launch.h"
#include "impl/cuda/sampling/block.cuh"
#include "impl/cuda/sampling/sampling.h"

namespace plumbline::native::cuda {
namespace {

constexpr int kBinsPerThread = kBins / kSampleThreads;

__device__ Cut* shared_cut() {
  return reinterpret_cast<Cut*>(shared_memory<unsigned char>() + kSampleScratch);
}
__device__ std::uint32_t* shared_limbs() {  // [kLimbs, kBins]
  return reinterpret_cast<std::uint32_t*>(shared_memory<unsigned char>() + kSampleScratch + kCutBytes);
}

// The cut's next digit from the sums of its bins: that of the first bin with which the sum exceeds the limit,
// or the last that is not empty where none does. In all threads.
__device__ Cut next_cut(const CutRule& rule, const Cut& before, const Fixed* bins, int digit) {
  Fixed own;
  int last = -1;  // of this thread's bins that are not empty
  const int first = static_cast<int>(threadIdx.x) * kBinsPerThread;
  for (int bin = first; bin < first + kBinsPerThread; ++bin) {
    own = plus(own, bins[bin]);
    if (!is_zero(bins[bin])) last = bin;
  }
  const Ahead ahead = scan_block(own, shared_memory<Fixed>());
  const double limit = digit == 0 ? limit_of(rule, ahead.total) : before.limit;
  const bool crosses = as_f64(plus(before.below, ahead.total)) > limit;
  Fixed below = plus(before.below, ahead.before);
  // One thread has it: the sums exceed the limit from there on, or nothing is left behind it.
  const bool is_last =
      last >= 0 && ahead.before.hi + own.hi == ahead.total.hi && ahead.before.lo + own.lo == ahead.total.lo;
  const bool has_it = crosses ? as_f64(below) <= limit && as_f64(plus(below, own)) > limit : is_last;
  Cut* const found = shared_cut();
  if (threadIdx.x == 0) *found = {before.prefix << digit_bits(digit), before.below, limit};
  __syncthreads();
  if (has_it) {
    int bin = first;
    for (; bin < (crosses ? first + kBinsPerThread - 1 : last); ++bin) {
      const Fixed with = plus(below, bins[bin]);
      if (crosses && as_f64(with) > limit) break;
      below = with;
    }
    *found = {(before.prefix << digit_bits(digit)) | static_cast<std::uint32_t>(bin), below, limit};
  }
  __syncthreads();
  return *found;
}

__device__ Cut cut_so_far(const CutRule& rule, const Cut* cuts, const Fixed* bins, int digits) {
  if (digits == 0) return {};
  const Cut before = digits == 1 ? Cut{} : cuts[digits - 1];
  return next_cut(rule, before, bins + (digits - 1) * kBins, digits - 1);
}

__global__ void __launch_bounds__(kSampleThreads)
    bins_kernel(CutRule rule, int digit, const float* scores, const float* largest, Cut* cuts, Fixed* bins) {
  const Cut cut = cut_so_far(rule, cuts, bins, digit);
  if (blockIdx.x == 0 && threadIdx.x == 0) cuts[digit] = cut;
  std::uint32_t* const limbs = shared_limbs();
  for (int i = static_cast<int>(threadIdx.x); i < kLimbs * kBins; i += kSampleThreads) limbs[i] = 0;
  __syncthreads();
  const Packed<float> four = read_four(scores);
#pragma unroll
  for (int i = 0; i < kSamplePerThread; ++i) {
    const std::uint32_t rank = rank_of(rule, four.values[i]);
    if (!is_kept(four.values[i]) || prefix_of(rank, digit) != cut.prefix) continue;
    const Fixed amount = amount_of(rule, four.values[i], *largest);
#pragma unroll
    for (int limb = 0; limb < kLimbs; ++limb) {
      const std::uint32_t part = limb_of(amount, limb);
      if (part != 0) atomicAdd(&limbs[limb * kBins + static_cast<int>(digit_of(rank, digit))], part);
    }
  }
  __syncthreads();
  for (int bin = static_cast<int>(threadIdx.x); bin < kBins; bin += kSampleThreads) {
    const Fixed sum =
        of_limbs(limbs[bin], limbs[kBins + bin], limbs[2 * kBins + bin], limbs[3 * kBins + bin]);
    Fixed& all = bins[digit * kBins + bin];
    if (sum.hi != 0) atomicAdd(&all.hi, sum.hi);
    if (sum.lo != 0) atomicAdd(&all.lo, sum.lo);
  }
}

// Writes what is kept, and the chunk's sum of weights.
__device__ void leave(const Packed<float>& four, float largest, float* scores, Fixed* sums) {
  write_four(scores, four);
  Fixed own;
#pragma unroll
  for (int i = 0; i < kSamplePerThread; ++i) own = plus(own, fixed_of(weight_of(four.values[i], largest)));
  own = over_block(own, shared_memory<Fixed>());
  if (threadIdx.x == 0) sums[blockIdx.x] = own;
}

__global__ void __launch_bounds__(kSampleThreads)
    top_k_kernel(CutRule rule, SamplingBoard board, const Cut* cuts, const Fixed* bins, Fixed* sums) {
  const Cut cut = cut_so_far(rule, cuts, bins, kDigits);
  Packed<float> four = read_four(board.scores);
#pragma unroll
  for (int i = 0; i < kSamplePerThread; ++i) {
    if (rank_of(rule, four.values[i]) > cut.prefix) four.values[i] = kDroppedScore;
  }
  leave(four, *board.largest, board.scores, sums);
}

__global__ void __launch_bounds__(kSampleThreads)
    ties_kernel(CutRule rule, const float* scores, Cut* cuts, const Fixed* bins, std::uint32_t* ties) {
  const Cut cut = cut_so_far(rule, cuts, bins, kDigits);
  if (blockIdx.x == 0 && threadIdx.x == 0) cuts[kDigits] = cut;
  const Packed<float> four = read_four(scores);
  Fixed own;
#pragma unroll
  for (int i = 0; i < kSamplePerThread; ++i) own.hi += rank_of(rule, four.values[i]) == cut.prefix ? 1 : 0;
  own = over_block(own, shared_memory<Fixed>());
  if (threadIdx.x == 0) ties[blockIdx.x] = static_cast<std::uint32_t>(own.hi);
}

__global__ void __launch_bounds__(kSampleThreads)
    top_p_kernel(CutRule rule, SamplingBoard board, const Cut* cuts, Fixed* sums) {
  const Cut cut = cuts[kDigits];
  Fixed ties;  // hi: before this chunk, lo: of all
  for (std::int64_t chunk = threadIdx.x; chunk < board.chunks; chunk += kSampleThreads) {
    ties = plus(ties,
                {chunk < static_cast<std::int64_t>(blockIdx.x) ? board.ties[chunk] : 0u, board.ties[chunk]});
  }
  ties = over_block(ties, shared_memory<Fixed>());
  const float largest = *board.largest;
  const Word dropped = dropped_ties(cut, amount_of(rule, score_of(cut.prefix), largest), ties.lo);
  Packed<float> four = read_four(board.scores);
  Fixed own;
#pragma unroll
  for (int i = 0; i < kSamplePerThread; ++i) own.hi += rank_of(rule, four.values[i]) == cut.prefix ? 1 : 0;
  Word place = ties.hi + scan_block(own, shared_memory<Fixed>()).before.hi;  // of the next tie, in id order
#pragma unroll
  for (int i = 0; i < kSamplePerThread; ++i) {
    const std::uint32_t rank = rank_of(rule, four.values[i]);
    const bool tied = rank == cut.prefix;
    if (rank < cut.prefix || (tied && place < dropped)) four.values[i] = kDroppedScore;
    place += tied ? 1 : 0;
  }
  leave(four, largest, board.scores, sums);
}

__global__ void __launch_bounds__(kSampleThreads)
    min_p_kernel(SamplingBoard board, float min_p, const Fixed* sums_in, Fixed* sums_out) {
  const float largest = *board.largest;
  const auto divisor = static_cast<float>(as_f64(over_all(sums_in, board.chunks, shared_memory<Fixed>())));
  const float threshold = min_p * (weight_of(largest, largest) / divisor);
  Packed<float> four = read_four(board.scores);
#pragma unroll
  for (int i = 0; i < kSamplePerThread; ++i) {
    if (!(weight_of(four.values[i], largest) / divisor >= threshold)) four.values[i] = kDroppedScore;
  }
  leave(four, largest, board.scores, sums_out);
}

// Puts the sums of each digit's bins into board.bins[which]; board.cuts[which] has the cut by then but for
// its last digit.
void narrow_down(Stream stream, const SamplingBoard& board, const CutRule& rule, int which) {
  for (int digit = 0; digit < kDigits; ++digit) {
    launch("cut_bins", bins_kernel, shape_of_bins(board.chunks), stream, rule, digit, board.scores,
           board.largest, board.cuts[which], board.bins[which]);
  }
}

}  // namespace

void top_k(Stream stream, const SamplingBoard& board, std::int64_t k, int sums_out) {
  const CutRule rule{true, false, static_cast<double>(k)};
  narrow_down(stream, board, rule, 0);
  launch("top_k", top_k_kernel, shape_of_cut(board.chunks), stream, rule, board, board.cuts[0], board.bins[0],
         board.sums[sums_out]);
}

void top_p(Stream stream, const SamplingBoard& board, double p, int sums_out) {
  const CutRule rule{false, true, 1.0 - p};
  narrow_down(stream, board, rule, 1);
  launch("top_p_ties", ties_kernel, shape_of_cut(board.chunks), stream, rule, board.scores, board.cuts[1],
         board.bins[1], board.ties);
  launch("top_p", top_p_kernel, shape_of_chunks(board.chunks), stream, rule, board, board.cuts[1],
         board.sums[sums_out]);
}

void min_p(Stream stream, const SamplingBoard& board, double min_p, int sums_in, int sums_out) {
  launch("min_p", min_p_kernel, shape_of_chunks(board.chunks), stream, board, static_cast<float>(min_p),
         board.sums[sums_in], board.sums[sums_out]);
}

}  // namespace plumbline::native::cuda
