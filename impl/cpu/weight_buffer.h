// Memory for the elements of one tensor, uninitialised.
#pragma once

#include <cstddef>

#include <fmt/format.h>

#include "harness/dtype.h"
#include "impl/huge_pages.h"
#include "impl/memory.h"

namespace plumbline::native {

class WeightBuffer {
 public:
  // Throws Error when there is no memory.
  WeightBuffer(std::size_t count, DType dtype)
      : memory_(with_memory("a matrix of weights", static_cast<std::int64_t>(count * dtype_size(dtype)),
                            "native weights", fmt::format("they are held in {}", dtype_name(dtype)),
                            [&] { return HugePages(count * dtype_size(dtype)); })) {}

  std::byte* data() { return memory_.get(); }

 private:
  HugePages memory_;
};

}  // namespace plumbline::native
