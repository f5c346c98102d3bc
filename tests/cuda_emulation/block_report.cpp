// In words, what the threads of a block that cannot end are waiting for.
#include <bit>

#include "tests/cuda_emulation/block.h"

namespace plumbline::cuda_emulation {

std::string place(uint3 at) {
  std::string text = "(";
  text += std::to_string(at.x) + "," + std::to_string(at.y) + "," + std::to_string(at.z);
  text += ")";
  return text;
}

std::string Block::description(int thread) const {
  return "thread " + place(coordinates_[thread]);
}

std::string Block::waiting() const {
  int finished = 0, in_collectives = 0;
  std::string examples;
  const auto example = [&](std::size_t w, unsigned lanes, const char* does) {
    if (lanes == 0 || examples.find(does) != std::string::npos) return;
    const int lane = std::countr_zero(lanes);
    examples += "; " + description(static_cast<int>(w) * 32 + lane) + does;
  };
  for (std::size_t w = 0; w < warps_.size(); ++w) {
    const Warp& warp = warps_[w];
    unsigned gathered = 0;
    for (int g = 0; g < warp.gathered; ++g) gathered |= warp.gatherings[g].arrived;
    finished += std::popcount(warp.finished);
    in_collectives += std::popcount(gathered);
    example(w, warp.finished, " has returned");
    example(w, warp.at_barrier, " waits at __syncthreads()");
    example(w, warp.at_grid, " waits at the grid's barrier");
    example(w, gathered, " waits in a collective");
  }
  const std::string at_grid = grid_ == nullptr ? "" : std::to_string(at_grid_) + " at the grid's barrier, ";
  return "of " + std::to_string(threads_) + " threads " + std::to_string(at_barrier_) +
         " wait at __syncthreads(), " + at_grid + std::to_string(in_collectives) + " in collectives, " +
         std::to_string(finished) + " have returned" + examples;
}

}  // namespace plumbline::cuda_emulation
