// The memory behind a SamplingBoard.
#pragma once

#include <cstdint>

#include "impl/cuda/memory.h"
#include "impl/cuda/sampling/board.h"

namespace plumbline::native::cuda {

class SamplingMemory {
 public:
  // The board for a vocabulary; grows where it is the largest so far. Throws Error for more tokens than sums
  // have room for, and where the device has no memory left.
  const SamplingBoard& reserve(std::int64_t vocab);
  const SamplingBoard& board() const { return board_; }
  // Where logits on the host go; as large as the scores.
  void* uploaded();

 private:
  DeviceBuffer board_memory_, uploaded_;
  SamplingBoard board_;
};

}  // namespace plumbline::native::cuda
