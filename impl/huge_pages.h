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
  explicit HugePages(std::size_t bytes) : is_large_(bytes >= kHugePage) {
    const std::size_t all = bytes + before();
    auto* const memory = static_cast<std::byte*>(::operator new(all, alignment()));
#if defined(__linux__)
    // A wish: without huge pages the memory is as good.
    if (is_large_) ::madvise(memory, all, MADV_HUGEPAGE);
#endif
    data_ = memory + before();
  }
  HugePages(HugePages&& other) noexcept {
    swap(other);
  }
  HugePages& operator=(HugePages other) noexcept {
    swap(other);
    return *this;
  }
  ~HugePages() {
    if (data_ != nullptr) ::operator delete(data_ - before(), alignment());
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
  // Other large areas begin some bytes behind the start of a page. A copy between two whose addresses differ
  // by a few bytes, multiples of 4 KiB aside, waits for its own stores: measured, a third slower. So this
  // begins elsewhere.
  static constexpr std::size_t kAway = 2048 + kCacheLine;

  std::size_t before() const {
    return is_large_ ? kAway : 0;
  }
  std::align_val_t alignment() const {
    return std::align_val_t{is_large_ ? kHugePage : kCacheLine};
  }
  void swap(HugePages& other) noexcept {
    std::swap(is_large_, other.is_large_);
    std::swap(data_, other.data_);
  }

  bool is_large_ = false;
  std::byte* data_ = nullptr;
};

}  // namespace plumbline::native
