// How the threads of a launch share out elements: 16 bytes to a thread where addresses and sizes allow it,
// one element where they do not. On the host for the launch and for tests, on the device for the kernels.
// A thread has one access alone: many threads keep the memory busy. Nothing was measured on a device.
#pragma once

#include <cstdint>

#include "impl/cuda/element.h"
#include "impl/cuda/host_device.h"
#include "impl/cuda/launch_shape.h"

namespace plumbline::native::cuda {

// N elements, a power of two, that are read and written together, up to 16 bytes in one access: the address
// is a multiple of that.
template <typename T, int N>
struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Vector {
  T values[N];
};
template <typename T, int N>
PLUMBLINE_HOST_DEVICE inline Vector<T, N> read_vector(const T* from) {
  return *reinterpret_cast<const Vector<T, N>*>(from);
}
template <typename T, int N>
PLUMBLINE_HOST_DEVICE inline void write_vector(T* to, const Vector<T, N>& vector) {
  *reinterpret_cast<Vector<T, N>*>(to) = vector;
}

inline bool aligned(const void* address) {
  return reinterpret_cast<std::uintptr_t>(address) % 16 == 0;
}

inline constexpr std::int64_t kElementThreads = 256;

// `count` elements side by side: thread i of the launch takes vector i; those after the vectors take what is
// left, one element each.
struct ElementShare {
  std::int64_t vectors = 0;
  std::int64_t singles = 0;
};
constexpr ElementShare share_elements(std::int64_t count, std::int64_t vector_size, bool vectors_fit) {
  const std::int64_t vectors = vectors_fit ? count / vector_size : 0;
  return {vectors, count - vectors * vector_size};
}
constexpr LaunchShape shape_of_elements(const ElementShare& share) {
  LaunchShape shape;
  shape.blocks_x = ceil_div(share.vectors + share.singles, kElementThreads);
  shape.threads = kElementThreads;
  return shape;
}

struct ElementSpan {
  std::int64_t first;
  std::int64_t count;  // vector_size, 1 or, for a thread past the end, 0
};
PLUMBLINE_HOST_DEVICE constexpr ElementSpan span_of_thread(const ElementShare& share,
                                                           std::int64_t vector_size, std::int64_t thread) {
  if (thread < share.vectors) return {thread * vector_size, vector_size};
  const std::int64_t single = thread - share.vectors;
  return {share.vectors * vector_size + single, single < share.singles ? 1 : 0};
}

}  // namespace plumbline::native::cuda
