// Memory for the floats of one tensor, uninitialised. Large ones ask for huge pages: a decode step walks
// through all weights, and with pages of 4 KiB each of them costs a walk of the page tables.
#pragma once

#include <cstddef>
#include <new>

#include "impl/memory.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace plumbline::native {

class FloatBuffer {
 public:
  // Throws Error when there is no memory.
  explicit FloatBuffer(std::size_t count)
      : alignment_(count * sizeof(float) < 2 * kHugePage ? 64 : kHugePage) {
    const std::size_t bytes = count * sizeof(float);
    data_ = with_memory(
        "a matrix of weights", static_cast<std::int64_t>(bytes), "native weights", "they are held in f32",
        [&] { return static_cast<float*>(::operator new (bytes, std::align_val_t{alignment_})); });
#if defined(__linux__)
    // A wish: without huge pages the buffer is as good.
    if (alignment_ == kHugePage) ::madvise(data_, bytes, MADV_HUGEPAGE);
#endif
  }
  ~FloatBuffer() {
    ::operator delete (data_, std::align_val_t{alignment_});
  }
  FloatBuffer(const FloatBuffer&) = delete;
  FloatBuffer& operator=(const FloatBuffer&) = delete;

  float* data() {
    return data_;
  }

 private:
  static constexpr std::size_t kHugePage = std::size_t{2} << 20;
  std::size_t alignment_;
  float* data_ = nullptr;
};

}  // namespace plumbline::native
