// Rotary positions: the tables of cosines and sines, and the rotation of halves. transformers:
// Qwen2RotaryEmbedding and apply_rotary_pos_emb.
#pragma once

#include <cstdint>

#include "harness/dtype.h"
#include "impl/cuda/host_device.h"
#include "impl/cuda/launch_shape.h"
#include "impl/cuda/sin_cos.h"
#include "impl/cuda/vectors.h"

namespace plumbline::native::cuda {

// Cosine and sine of the f32 product position * frequency, the position below 2^24 and the frequency at most
// 1.
PLUMBLINE_HOST_DEVICE inline SinCos rotary_wave(std::int64_t position, float frequency) {
  return sin_cos(static_cast<double>(static_cast<float>(position) * frequency));
}

// What a pair is rotated by: those in f64, rounded to f32, times `factor`.
struct RotaryFactors {
  float cos;
  float sin;
};
PLUMBLINE_HOST_DEVICE inline RotaryFactors rotary_factors(std::int64_t position, float frequency,
                                                          float factor) {
  const SinCos wave = rotary_wave(position, frequency);
  return {static_cast<float>(wave.cos) * factor, static_cast<float>(wave.sin) * factor};
}

// A thread for each pair of each row.
constexpr LaunchShape shape_of_cos_sin(std::int64_t rows, std::int64_t pairs) {
  return shape_of_elements({0, rows * pairs});
}

// Blocks: x the row, y as many as its threads need: `units` for a head, each of which rotates one pair or
// several.
constexpr LaunchShape shape_of_rope(std::int64_t rows, std::int64_t heads, std::int64_t units) {
  LaunchShape shape;
  shape.blocks_x = rows;
  shape.blocks_y = ceil_div(heads * units, kElementThreads);
  shape.threads = kElementThreads;
  return shape;
}

// cos, sin: [rows, 2 * pairs] f32, the second half as the first: of the f32 product position * frequency, in
// f64, rounded to f32, times `factor`. positions: [rows] i64; tables: [steps, pairs] f32; step_of_row: [rows]
// i32, the table each row reads.
void cos_sin(Stream stream, const std::int64_t* positions, const float* tables,
             const std::int32_t* step_of_row, std::int64_t pairs, std::int64_t rows, float factor, float* cos,
             float* sin);

// x: [rows, heads, head_dim] in `storage`, rotated in place: x1 * cos - x2 * sin and x2 * cos + x1 * sin,
// each product and sum rounded to f32 once, the result to storage. cos, sin: [rows, head_dim] f32.
void rope(Stream stream, DType storage, void* x, std::int64_t rows, std::int64_t heads, std::int64_t head_dim,
          const float* cos, const float* sin);

}  // namespace plumbline::native::cuda
