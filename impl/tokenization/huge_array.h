// An array of fixed length in huge pages: for tables that are read here and there, where each look else costs
// a walk of the page tables.
#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>

#include "impl/huge_pages.h"

namespace plumbline::native {

template <typename T>
class HugeArray {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  HugeArray() = default;
  // Elements are value-initialised.
  explicit HugeArray(std::size_t size) : memory_(size * sizeof(T)), size_(size) {
    std::uninitialized_value_construct_n(data(), size);
  }

  std::size_t size() const { return size_; }
  T& operator[](std::size_t i) { return data()[i]; }
  const T& operator[](std::size_t i) const { return data()[i]; }

 private:
  T* data() const { return reinterpret_cast<T*>(memory_.get()); }

  HugePages memory_;
  std::size_t size_ = 0;
};

}  // namespace plumbline::native
