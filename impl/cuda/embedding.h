// Rows of the embedding matrix, copied. transformers: Qwen2Model.embed_tokens.
#pragma once

#include <cstdint>

#include "harness/dtype.h"
#include "impl/cuda/launch_shape.h"

namespace plumbline::native::cuda {

// A block for each row, whose 256 threads walk along it.
constexpr LaunchShape shape_of_copy_rows(std::int64_t rows) {
  LaunchShape shape;
  shape.blocks_x = rows;
  shape.threads = 256;
  return shape;
}

// matrix: [vocab, hidden]; tokens: [rows] i32, in range; out: [rows, hidden]. All on the device, in
// `storage`.
void embedding(Stream stream, DType storage, const void* matrix, const std::int32_t* tokens,
               std::int64_t rows, std::int64_t hidden, void* out);

// Rows `index[i]` of x [.., width], to out [rows, width]: those whose logits are wanted.
void gather_rows(Stream stream, DType storage, const void* x, const std::int64_t* index, std::int64_t rows,
                 std::int64_t width, void* out);

}  // namespace plumbline::native::cuda
