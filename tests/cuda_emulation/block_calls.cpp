// What device code calls: barriers, collectives, and the end of a kernel that gives up.
#include <cooperative_groups.h>

#include "tests/cuda_emulation/block_turns.h"
#include "tests/cuda_emulation/grid.h"

namespace plumbline::cuda_emulation {

void Block::synchronise() {
  const int self = current_;
  Warp& warp = warps_[self / 32];
  warp.runnable &= ~(1u << (self % 32));
  warp.at_barrier |= 1u << (self % 32);
  ++at_barrier_;
  leave_to(next_thread());
  set_coordinates(self);
}

std::uint64_t Block::collective(Collective kind, unsigned mask, std::uint64_t value, unsigned parameter,
                                int width, unsigned size) {
  const int self = current_;
  const int position = self % 32;
  Warp& warp = warps_[self / 32];
  Lane& lane = warp.lanes[position];
  lane.value = value;
  lane.parameter = parameter;
  lane.width = width;
  if ((mask >> position & 1u) == 0) {
    abort("is not in the mask of its own collective");
  }
  if (width <= 0 || width > 32 || (width & (width - 1)) != 0) {
    abort("shuffles with a width that is no power of two up to 32");
  }
  if (warp.arrive(position, kind, size, mask)) {
    const char* mistake = warp.exchange(kind, mask);
    if (mistake != nullptr) abort(mistake);
    warp.cursor = 0;
    warp.order = &lane_order(round_++);
  }
  leave_to(next_thread());
  set_coordinates(self);
  return lane.value;
}

void Block::pause(int thread) {
  Warp& warp = warps_[thread / 32];
  warp.runnable &= ~(1u << (thread % 32));
  warp.at_grid |= 1u << (thread % 32);
  ++at_grid_;
  leave_to(next_thread());
  set_coordinates(thread);
}

// Each thread arrives for itself: no barrier of the block is promised. The token is the phase.
unsigned Block::arrive_at_grid() {
  const int self = current_;
  if (grid_ == nullptr) abort("uses the grid's barrier in a launch that is not cooperative");
  Warp& warp = warps_[self / 32];
  const unsigned bit = 1u << (self % 32);
  if ((warp.arrived & bit) != 0) abort("arrives at the grid's barrier again, and has not waited there");
  warp.arrived |= bit;
  if (arrived_++ == 0) pauses_at_arrival_ = pauses_at_arrival(number_, phase_);
  if (arrived_ == threads_) grid_->arrive();
  const unsigned token = phase_;
  if (pauses_at_arrival_) pause(self);
  return token;
}

void Block::wait_for_grid(unsigned token) {
  const int self = current_;
  const bool has_arrived = (warps_[self / 32].arrived >> (self % 32) & 1u) != 0;
  if (!has_arrived) abort("waits at the grid's barrier, and has not arrived there");
  if (token != phase_) abort("waits at the grid's barrier with another token than it got there");
  waits_ = true;
  pause(self);
}

void Block::trap() {
  abort("trapped");
}

void Block::abort(const char* what) {
  const int end = stop(description(current_) + " " + what);
  leave_to(end);  // for good: nothing may be left on this stack that wants to be destroyed
}

void trap() {
  the_block->trap();
}

bool in_cooperative_grid() {
  return the_block->in_grid();
}

unsigned arrive_at_grid() {
  return the_block->arrive_at_grid();
}

void wait_for_grid(unsigned token) {
  the_block->wait_for_grid(token);
}

std::uint64_t collective(Collective kind, unsigned mask, std::uint64_t value, unsigned parameter, int width,
                         unsigned size) {
  return the_block->collective(kind, mask, value, parameter, width, size);
}

}  // namespace plumbline::cuda_emulation

void __syncthreads() {
  plumbline::cuda_emulation::the_block->synchronise();
}
