// A linear layer over a batch: by our own kernels, or, for steps of many tokens, by the library.
#pragma once

#include <algorithm>
#include <cstdint>

#include "impl/batch.h"
#include "impl/cuda/linear.h"
#include "impl/cuda/matmul_library.h"

namespace plumbline::native::cuda {

class Projection {
 public:
  // `library` may be null.
  Projection(Stream stream, DType storage, const Batch& batch, MatmulLibrary* library);

  bool uses_library() const { return uses_library_; }
  // The library computes steps of at least so many rows; 0: none.
  std::int64_t fewest_for_library() const { return library_ == nullptr ? 0 : kFewestForLibrary; }
  // x: [rows, depth], y: [rows, outs], of all rows of the batch. Who computes a step's rows depends on their
  // number alone, and each step that the library computes is a call of its own: so a step's bits do not
  // depend on others.
  void run(const LinearLayer& layer, const void* x, void* y) const;

 private:
  bool by_library(const BatchStep& step) const {
    return library_ != nullptr && step.rows >= kFewestForLibrary;
  }
  static constexpr std::int64_t kFewestForLibrary = 32;  // tokens; not measured on a device

  Stream stream_;
  DType storage_;
  const Batch& batch_;
  MatmulLibrary* library_;
  bool uses_library_;
};

}  // namespace plumbline::native::cuda
