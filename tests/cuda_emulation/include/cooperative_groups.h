// The group of all threads of a cooperative launch, emulated on the host for tests: names and meaning as in
// "Cooperative Groups" of the CUDA C++ Programming Guide. What that leaves undefined is a mistake here.
#pragma once

#include <device_functions.h>

namespace plumbline::cuda_emulation {
bool in_cooperative_grid();
unsigned arrive_at_grid();
void wait_for_grid(unsigned token);
}  // namespace plumbline::cuda_emulation

namespace cooperative_groups {

class grid_group {
 public:
  using arrival_token = unsigned;

  bool is_valid() const { return plumbline::cuda_emulation::in_cooperative_grid(); }
  // Every thread calls both in turns. Between them it may do other work; all blocks arrive before any thread
  // leaves its wait.
  arrival_token barrier_arrive() const { return plumbline::cuda_emulation::arrive_at_grid(); }
  void barrier_wait(arrival_token&& token) const { plumbline::cuda_emulation::wait_for_grid(token); }
  void sync() const { barrier_wait(barrier_arrive()); }

  static unsigned long long num_blocks() { return 1ull * gridDim.x * gridDim.y * gridDim.z; }
  static unsigned long long block_rank() {
    return (1ull * blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  }
  static unsigned long long num_threads() { return num_blocks() * (blockDim.x * blockDim.y * blockDim.z); }
  static unsigned long long size() { return num_threads(); }
  static unsigned long long thread_rank() {
    const unsigned in_block = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    return block_rank() * (blockDim.x * blockDim.y * blockDim.z) + in_block;
  }
  static dim3 dim_blocks() { return gridDim; }
  static dim3 block_index() { return blockIdx; }

 private:
  grid_group() = default;
  friend grid_group this_grid();
};

inline grid_group this_grid() {
  return {};
}

}  // namespace cooperative_groups
