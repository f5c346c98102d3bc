// Memory, uninitialised, that asks for huge pages where it is large: who walks through all of it for each
// token, weights or keys, would else pay for a walk of the page tables every 4 KiB.
#pragma once

#include <cstddef>
#include <new>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace plumbline::native {

class HugePages {
 public:
  HugePages() = default;
  // Throws std::bad_alloc.
  explicit HugePages(std::size_t bytes) : alignment_(bytes < kHugePage ? kCacheLine : kHugePage) {
    data_ = static_cast<std::byte*>(::operator new (bytes, std::align_val_t{alignment_}));
#if defined(__linux__)
    // A wish: without huge pages the memory is as good.
    if (alignment_ == kHugePage) ::madvise(data_, bytes, MADV_HUGEPAGE);
#endif
  }
  HugePages(HugePages&& other) noexcept {
    swap(other);
  }
  HugePages& operator=(HugePages other) noexcept {
    swap(other);
    return *this;
  }
  ~HugePages() {
    if (data_ != nullptr) ::operator delete (data_, std::align_val_t{alignment_});
  }

  std::byte* get() const {
    return data_;
  }
  explicit operator bool() const {
    return data_ != nullptr;
  }

 private:
  static constexpr std::size_t kHugePage = std::size_t{2} << 20;
  static constexpr std::size_t kCacheLine = 64;
  void swap(HugePages& other) noexcept {
    std::swap(alignment_, other.alignment_);
    std::swap(data_, other.data_);
  }

  std::size_t alignment_ = kCacheLine;
  std::byte* data_ = nullptr;
};

}  // namespace plumbline::native
