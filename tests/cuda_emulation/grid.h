// A cooperative launch: all blocks of its grid live at once, each with its threads' stacks and its own shared
// memory. A block runs until all its threads stand at the grid's barrier or have returned, then the next one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/cuda_emulation/block.h"

namespace plumbline::cuda_emulation {

// Of the launch that gridDim tells.
std::uint64_t number_of_blocks();
uint3 block_index(std::uint64_t number);
std::string wrote_beyond(std::size_t shared_bytes);

class Grid {
 public:
  Grid(const std::function<void()>& kernel, dim3 block_dimensions, std::size_t shared_bytes);

  // Runs all blocks to their end. False when they cannot get there; failure() tells which block, and why.
  bool run();
  const std::string& failure() const { return failure_; }

  void arrive();  // a whole block, at the barrier

 private:
  struct Resident {
    Block* block;
    uint3 index;
    bool ended = false;
    std::vector<unsigned char> shared;  // while it is not its turn
  };

  bool can_run(const Resident& resident) const;
  bool run_turn(Resident* resident);
  bool stop(const std::string& why);
  std::string waiting() const;

  std::size_t shared_bytes_;
  std::vector<Resident> residents_;
  unsigned phase_ = 0;  // how many barriers all blocks have arrived at
  std::uint64_t arrived_ = 0;
  std::string failure_;
};

}  // namespace plumbline::cuda_emulation
