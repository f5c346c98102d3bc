#include "impl/cuda/rope_update.h"

#include "impl/cuda/launch.h"
#include "impl/cuda/rotation.cuh"

namespace plumbline::native::cuda {
namespace {

// Where the keys and values of a row go.
__device__ __forceinline__ DeviceRun run_of_row(const RopeUpdate& update, std::int64_t row,
                                                std::int64_t& token) {
  const std::int32_t step = update.step_of_row[row];
  const DeviceRuns& room = update.runs[step].room;
  const PlaceInRun place = place_of(room, row - update.steps[step].first_row);
  token = place.token;
  return room.runs[place.run];
}

template <int kCount, typename Cache, typename Storage>
__device__ __forceinline__ void put(const Vector<Storage, kCount>& from, bool together, Cache* to) {
  Vector<Cache, kCount> rounded;
#pragma unroll
  for (int i = 0; i < kCount; ++i) rounded.values[i] = narrow<Cache>(widen(from.values[i]));
  if (together) return write_vector(to, rounded);
#pragma unroll
  for (int i = 0; i < kCount; ++i) to[i] = rounded.values[i];
}

// kCount pairs of one head of queries, keys or values for each thread.
template <typename Storage, typename Cache, int kCount>
__global__ void __launch_bounds__(kElementThreads) rope_update_kernel(RopeUpdate update, int units) {
  const int unit = static_cast<int>(blockIdx.y * kElementThreads + threadIdx.x);
  const int heads = static_cast<int>(update.heads), kv_heads = static_cast<int>(update.kv_heads);
  if (unit >= (heads + 2 * kv_heads) * units) return;
  const auto row = static_cast<std::int64_t>(blockIdx.x);
  const int part = unit / units;  // heads of queries, of keys, of values
  const int feature = (unit - part * units) * kCount;
  const int half = units * kCount;
  const int head_dim = 2 * half;

  const float* c = update.cos + row * head_dim + feature;
  const float* s = update.sin + row * head_dim + feature;
  const auto cos = read_pairs<kCount>(c, half), sin = read_pairs<kCount>(s, half);
  if (part < heads) {
    Storage* x = static_cast<Storage*>(update.queries) + (row * heads + part) * head_dim + feature;
    auto pairs = read_pairs<kCount>(static_cast<const Storage*>(x), half);
    rotate(pairs, cos, sin);
    write_vector(x, pairs.first);
    write_vector(x + half, pairs.second);
    return;
  }
  const bool is_key = part < heads + kv_heads;
  const int head = (part - heads) % kv_heads;
  const auto* from = static_cast<const Storage*>(is_key ? update.keys : update.values);
  auto pairs = read_pairs<kCount>(from + (row * kv_heads + head) * head_dim + feature, half);
  if (is_key) rotate(pairs, cos, sin);
  std::int64_t token = 0;
  const DeviceRun run = run_of_row(update, row, token);
  Cache* to = static_cast<Cache*>(is_key ? run.keys : run.values) + token * run.token_stride +
              head * run.head_stride + feature;
  const auto address = reinterpret_cast<std::uintptr_t>(to);
  const bool together = (address | (half * sizeof(Cache))) % alignof(Vector<Cache, kCount>) == 0;
  put<kCount>(pairs.first, together, to);
  put<kCount>(pairs.second, together, to + half);
}

}  // namespace

void rope_update(Stream stream, DType storage, DType cache, const RopeUpdate& update) {
  if (update.rows == 0) return;
  for_storage(storage, [&](auto from) {
    for_storage(cache, [&](auto to) {
      using Storage = decltype(from);
      using Cache = decltype(to);
      constexpr int kCount = Packed<Storage>::kCount;
      const std::int64_t half = update.head_dim / 2;
      const bool vectors = half % kCount == 0 && aligned(update.queries) && aligned(update.keys) &&
                           aligned(update.values) && aligned(update.cos) && aligned(update.sin);
      const std::int64_t units = vectors ? half / kCount : half;
      launch("rope_update",
             vectors ? rope_update_kernel<Storage, Cache, kCount> : rope_update_kernel<Storage, Cache, 1>,
             shape_of_rope_update(update, units), stream, update, units);
    });
  });
}

}  // namespace plumbline::native::cuda
