#include "impl/cuda/rope.h"

#include "impl/cuda/launch.h"
#include "impl/cuda/rotation.cuh"
#include "impl/cuda/sin_cos.h"

namespace plumbline::native::cuda {
namespace {

__global__ void cos_sin_kernel(const std::int64_t* positions, const float* tables,
                               const std::int32_t* step_of_row, std::int64_t pairs, std::int64_t count,
                               float factor, float* cos, float* sin) {
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * kElementThreads + threadIdx.x;
  if (thread >= count) return;
  const std::int64_t row = thread / pairs;
  const std::int64_t pair = thread - row * pairs;
  const RotaryFactors made = rotary_factors(positions[row], tables[step_of_row[row] * pairs + pair], factor);
  const std::int64_t first = row * 2 * pairs + pair;
  cos[first] = cos[first + pairs] = made.cos;
  sin[first] = sin[first + pairs] = made.sin;
}

// kCount pairs of one head for each thread; `units` threads for a head. Blocks: x is the row.
template <typename T, int kCount>
__global__ void rope_kernel(T* x, int heads, int units, const float* cos, const float* sin) {
  const int unit = static_cast<int>(blockIdx.y * kElementThreads + threadIdx.x);
  if (unit >= heads * units) return;
  const int half = units * kCount;
  const int head = unit / units;
  const int feature = (unit - head * units) * kCount;
  const auto row = static_cast<std::int64_t>(blockIdx.x);
  x += (row * heads + head) * 2 * half + feature;
  const float* c = cos + row * 2 * half + feature;
  const float* s = sin + row * 2 * half + feature;

  auto pairs = read_pairs<kCount>(static_cast<const T*>(x), half);
  rotate(pairs, read_pairs<kCount>(c, half), read_pairs<kCount>(s, half));
  write_vector(x, pairs.first);
  write_vector(x + half, pairs.second);
}

}  // namespace

void cos_sin(Stream stream, const std::int64_t* positions, const float* tables,
             const std::int32_t* step_of_row, std::int64_t pairs, std::int64_t rows, float factor, float* cos,
             float* sin) {
  if (rows == 0 || pairs == 0) return;
  launch("cos_sin", cos_sin_kernel, shape_of_cos_sin(rows, pairs), stream, positions, tables, step_of_row,
         pairs, rows * pairs, factor, cos, sin);
}

void rope(Stream stream, DType storage, void* x, std::int64_t rows, std::int64_t heads, std::int64_t head_dim,
          const float* cos, const float* sin) {
  if (rows == 0 || heads == 0 || head_dim < 2) return;
  for_storage(storage, [&](auto element) {
    using T = decltype(element);
    constexpr int kCount = Packed<T>::kCount;
    const std::int64_t half = head_dim / 2;
    const bool vectors = half % kCount == 0 && aligned(x) && aligned(cos) && aligned(sin);
    const std::int64_t units = vectors ? half / kCount : half;
    launch("rope", vectors ? rope_kernel<T, kCount> : rope_kernel<T, 1>, shape_of_rope(rows, heads, units),
           stream, static_cast<T*>(x), heads, units, cos, sin);
  });
}

}  // namespace plumbline::native::cuda
