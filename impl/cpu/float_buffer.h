// Memory for the floats of one tensor, uninitialised.
#pragma once

#include <cstddef>

#include "impl/huge_pages.h"
#include "impl/memory.h"

namespace plumbline::native {

class FloatBuffer {
 public:
  // Throws Error when there is no memory.
  explicit FloatBuffer(std::size_t count)
      : memory_(with_memory("a matrix of weights", static_cast<std::int64_t>(count * sizeof(float)),
                            "native weights", "they are held in f32",
                            [&] { return HugePages(count * sizeof(float)); })) {}

  float* data() { return reinterpret_cast<float*>(memory_.get()); }

 private:
  HugePages memory_;
};

}  // namespace plumbline::native
