// Whose turn it is next: the parts of Block that every barrier and every collective goes through.
#pragma once

#include "tests/cuda_emulation/block.h"

namespace plumbline::cuda_emulation {

extern Block* the_block;  // that whose turn it is

inline void Block::set_coordinates(int thread) {
  current_ = thread;
  threadIdx = coordinates_[thread];
}

inline int Block::next_thread() {
  const int w = warp_order_[warp_cursor_];
  Warp& warp = warps_[w];
  while (warp.runnable != 0) {
    while (warp.cursor < 32) {
      const int lane = (*warp.order)[warp.cursor++];
      if ((warp.runnable >> lane & 1u) != 0) return w * 32 + lane;
    }
    warp.cursor = 0;
  }
  return next_after(warp);
}

inline void Block::leave_to(int next) {
  Fiber& self = *running_;
  Fiber& other = next != kHost && fibers_[next] != nullptr ? *fibers_[next] : start_fiber(next);
  if (&other == &self) return;
  ++switches_;
  running_ = &other;
  switch_fiber(self, other);
}

}  // namespace plumbline::cuda_emulation
