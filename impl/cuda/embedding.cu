#include "impl/cuda/embedding.h"

#include "impl/cuda/device.cuh"
#include "impl/cuda/launch.h"
#include "impl/cuda/vectors.h"

namespace plumbline::native::cuda {
namespace {

// One row for each block: to[row] = from[index[row]], kCount elements at a time; `units` of them in a row.
template <typename T, int kCount, typename Index>
__global__ void copy_rows_kernel(const T* from, const Index* index, std::int64_t units, T* to) {
  const std::int64_t width = units * kCount;
  const T* source = from + static_cast<std::int64_t>(index[blockIdx.x]) * width;
  T* target = to + static_cast<std::int64_t>(blockIdx.x) * width;
  for (std::int64_t unit = threadIdx.x; unit < units; unit += kElementThreads) {
    write_vector(target + unit * kCount, read_vector<T, kCount>(source + unit * kCount));
  }
}

template <typename Index>
void copy_rows(const char* name, Stream stream, DType storage, const void* from, const Index* index,
               std::int64_t rows, std::int64_t width, void* to) {
  if (rows == 0 || width == 0) return;
  for_storage(storage, [&](auto element) {
    using T = decltype(element);
    constexpr int kCount = Packed<T>::kCount;
    const bool vectors = width % kCount == 0 && aligned(from) && aligned(to);
    launch(name, vectors ? copy_rows_kernel<T, kCount, Index> : copy_rows_kernel<T, 1, Index>,
           shape_of_copy_rows(rows), stream, static_cast<const T*>(from), index,
           vectors ? width / kCount : width, static_cast<T*>(to));
  });
}

}  // namespace

void embedding(Stream stream, DType storage, const void* matrix, const std::int32_t* tokens,
               std::int64_t rows, std::int64_t hidden, void* out) {
  copy_rows("embedding", stream, storage, matrix, tokens, rows, hidden, out);
}

void gather_rows(Stream stream, DType storage, const void* x, const std::int64_t* index, std::int64_t rows,
                 std::int64_t width, void* out) {
  copy_rows("gather_rows", stream, storage, x, index, rows, width, out);
}

}  // namespace plumbline::native::cuda
