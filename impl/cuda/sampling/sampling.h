// The stages of the sampler chain on the device, docs/sampling.md: each of these queues kernels on the stream
// and returns. Scores stay dense, so a stage's probe is the board's array as it is, and a draw that is
// watched runs the same kernels as one that is not.
//
// Which sums there are: of softmax weights (e^(score - largest), f32, impl/cuda/exp.h) and of probabilities,
// all of them exact (impl/cuda/sampling/fixed.h) and rounded to f64 where they are compared or divided by. So
// there is no order of sums: blocks add in any.
//
// A full chain is 16 launches, temperature with top-k and top-p 13, temperature alone 4, greedy 2. Not
// measured on a device; the passes over the vocabulary (600 KB) are expected to run from the L2 cache, at
// little more than the time of a launch each.
#pragma once

#include <cstdint>

#include "harness/dtype.h"
#include "impl/cuda/launch_shape.h"
#include "impl/cuda/sampling/board.h"

namespace plumbline::native::cuda {

// scores = logits [vocab], f32, bf16 or f16 on the device; with their census.
void take_logits(Stream stream, const SamplingBoard& board, DType dtype, const void* logits, int census);
// The census of the scores as they are.
void take_census(Stream stream, const SamplingBoard& board, int census);

// entries: `count` of them on the device, at least one.
void penalize(Stream stream, const SamplingBoard& board, const PenaltyEntry* entries, std::int64_t count,
              const PenaltyValues& values);

// scores /= divisor; board.largest; the chunks' sums of weights. `census`: which is of the scores so far.
// Also empties the bins of the cuts below.
void scale(Stream stream, const SamplingBoard& board, int census, float divisor, int sums_out);

// Drops what is below the k-th largest, k >= 1.
void top_k(Stream stream, const SamplingBoard& board, std::int64_t k, int sums_out);
// p in [0, 1).
void top_p(Stream stream, const SamplingBoard& board, double p, int sums_out);
void min_p(Stream stream, const SamplingBoard& board, double min_p, int sums_in, int sums_out);

// The softmax, 0 where dropped, and its chunks' sums.
void softmax(Stream stream, const SamplingBoard& board, int sums_in, int sums_out);
// Of probabilities that somebody else has left there.
void sum_probabilities(Stream stream, const SamplingBoard& board, int sums_out);

// board.result: the token, and `censuses` of the censuses.
void draw(Stream stream, const SamplingBoard& board, int sums_in, double uniform, int censuses);
// board.result: the last one's argmax, and the censuses.
void report(Stream stream, const SamplingBoard& board, int censuses);

}  // namespace plumbline::native::cuda
