// What lies in device memory while a token is drawn, how the vocabulary is shared out, and what the kernels'
// launches look like.
#pragma once

#include <cstdint>

#include "impl/cuda/launch_shape.h"
#include "impl/cuda/sampling/fixed.h"
#include "impl/cuda/sampling/order.h"
#include "impl/cuda/sampling/rules.h"

namespace plumbline::native::cuda {

inline constexpr int kSampleThreads = 256;
inline constexpr int kSamplePerThread = 4;                        // consecutive ids: one access of 16 bytes
inline constexpr int kChunk = kSampleThreads * kSamplePerThread;  // ids of one block
static_assert(kChunk <= kLimbSummands);

// All that comes back of a draw.
struct DrawResult {
  Census census[2];         // of the logits, and of what became of them before the temperature
  std::int32_t token = -1;  // -1: none has a probability
};

// Pointers into device memory. Scores are -inf where dropped, and from `vocab` to the end of the last chunk.
struct SamplingBoard {
  std::int64_t vocab = 0;
  std::int64_t chunks = 0;
  float* scores = nullptr;         // [chunks, kChunk]
  float* probabilities = nullptr;  // [chunks, kChunk]
  Census* census[2] = {};          // [chunks] each
  Fixed* sums[2] = {};             // [chunks] each: a kernel reads one and writes the other
  std::uint32_t* ties = nullptr;   // [chunks]
  Fixed* bins[2] = {};             // [kDigits, kBins] each: top-k's and top-p's
  Cut* cuts[2] = {};               // [kDigits + 1] each
  float* largest = nullptr;        // of the scores after the temperature
  DrawResult* result = nullptr;
};

constexpr std::int64_t chunks_of(std::int64_t vocab) {
  return ceil_div(vocab, kChunk);
}

// Every kernel has room to reduce one value of each warp.
inline constexpr std::size_t kSampleScratch = 16 * kSampleThreads / kWarp;
static_assert(sizeof(Fixed) <= 16 && sizeof(Census) <= 16);

constexpr LaunchShape shape_of_chunks(std::int64_t chunks, std::size_t shared = kSampleScratch) {
  LaunchShape shape;
  shape.blocks_x = chunks;
  shape.threads = kSampleThreads;
  shape.shared_bytes = shared;
  return shape;
}
constexpr LaunchShape shape_of_one_block() {
  return shape_of_chunks(1);
}
// The bins' limbs, a Cut, and the scratch.
inline constexpr std::size_t kCutBytes = 32;
static_assert(sizeof(Cut) <= kCutBytes);
constexpr LaunchShape shape_of_bins(std::int64_t chunks) {
  return shape_of_chunks(chunks, kSampleScratch + kCutBytes + kBins * kLimbs * sizeof(std::uint32_t));
}
constexpr LaunchShape shape_of_cut(std::int64_t chunks) {
  return shape_of_chunks(chunks, kSampleScratch + kCutBytes);
}
constexpr LaunchShape shape_of_penalties(std::int64_t entries) {
  LaunchShape shape;
  shape.blocks_x = ceil_div(entries, kSampleThreads);
  shape.threads = kSampleThreads;
  return shape;
}

}  // namespace plumbline::native::cuda
