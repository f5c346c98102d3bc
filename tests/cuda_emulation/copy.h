// One copy: what it moves, and whether a device's driver takes it.
#pragma once

#include <cstring>

#include "tests/cuda_emulation/runtime.h"

namespace plumbline::cuda_emulation {

// `height` rows of `width` bytes. Pitches in bytes.
struct Copy {
  char* to;
  std::size_t to_pitch;
  const char* from;
  std::size_t from_pitch;
  std::size_t width, height;
  cudaMemcpyKind kind;

  bool empty() const { return width == 0 || height == 0; }
  std::size_t to_bytes() const { return (height - 1) * to_pitch + width; }
  std::size_t from_bytes() const { return (height - 1) * from_pitch + width; }
  void move() const {
    for (std::size_t row = 0; row < height; ++row)
      std::memmove(to + row * to_pitch, from + row * from_pitch, width);
  }
};

// Whether the call is refused; fills in the kind that it is. What lies where is checked as far as a driver
// knows it: device memory and pinned memory.
cudaError_t check_copy(Copy* copy);
// Moves the bytes now, counts them; mistakes into runtime().sticky.
void run_copy(const Copy& copy);

}  // namespace plumbline::cuda_emulation
