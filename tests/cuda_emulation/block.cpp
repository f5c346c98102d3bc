#include "tests/cuda_emulation/block.h"

#include <algorithm>

#include "tests/cuda_emulation/block_turns.h"
#include "tests/cuda_emulation/emulation.h"

uint3 threadIdx{}, blockIdx{};
dim3 blockDim, gridDim;

namespace plumbline::cuda_emulation {

Block* the_block = nullptr;

Block::Block()
    : pool_([]() -> FiberPool& {
        static auto* const of_all_blocks = new FiberPool(&Block::thread_body);  // stacks are never given back
        return *of_all_blocks;
      }()) {}

// A fiber serves one thread after the other, of one block and then of another.
void Block::thread_body() {
  for (;;) {
    Block& self = *the_block;
    Fiber& fiber = *self.running_;
    int thread = fiber.thread;
    for (;;) {
      self.fibers_[thread] = &fiber;
      self.set_coordinates(thread);
      (*self.kernel_)();
      Warp& warp = self.warps_[thread / 32];
      const unsigned bit = 1u << (thread % 32);
      warp.runnable &= ~bit;
      warp.finished |= bit;
      self.fibers_[thread] = nullptr;
      thread = self.next_thread();
      if (thread == kHost || self.fibers_[thread] != nullptr) break;
    }
    self.pool_.release(fiber);
    self.leave_to(thread);
  }
}

void Block::prepare(dim3 dimensions) {
  if (dimensions.x != dimensions_.x || dimensions.y != dimensions_.y || dimensions.z != dimensions_.z) {
    dimensions_ = dimensions;
    threads_ = static_cast<int>(dimensions.x * dimensions.y * dimensions.z);
    coordinates_.clear();
    for (unsigned z = 0; z < dimensions.z; ++z) {
      for (unsigned y = 0; y < dimensions.y; ++y) {
        for (unsigned x = 0; x < dimensions.x; ++x) coordinates_.push_back({x, y, z});
      }
    }
    warps_.resize((threads_ + 31) / 32);
    fibers_.assign(threads_, nullptr);
  }
  for (std::size_t w = 0; w < warps_.size(); ++w) {
    const int lanes = std::min(32, threads_ - static_cast<int>(w) * 32);
    warps_[w].exists = lanes == 32 ? ~0u : (1u << lanes) - 1;
    warps_[w].finished = 0;
    warps_[w].gathered = 0;
    warps_[w].arrived = 0;
  }
}

void Block::new_phase() {
  at_barrier_ = at_grid_ = 0;
  warp_cursor_ = 0;
  warp_order_.clear();
  for (const std::uint8_t w : lane_order(round_++)) {
    if (w < warps_.size()) warp_order_.push_back(w);
  }
  for (Warp& warp : warps_) {
    warp.runnable = warp.exists;
    warp.at_barrier = warp.at_grid = 0;
    warp.cursor = 0;
    warp.order = &lane_order(round_++);
  }
}

void Block::start(const std::function<void()>& kernel, dim3 dimensions, std::uint64_t number, Grid* grid) {
  kernel_ = &kernel;
  number_ = number;
  grid_ = grid;
  failure_.clear();
  round_ = number * 1024;
  phase_ = 0;
  arrived_ = 0;
  waits_ = false;
  copies_.clear();
  prepare(dimensions);
}

Block::State Block::run() {
  the_block = this;
  if (waits_) leave_barrier();
  new_phase();
  const int first = next_thread();
  running_ = &host_;
  switches_ = 0;
  leave_to(first);
  counters().switches += switches_;
  if (failure_.empty()) return at_grid_ == 0 ? State::ended : State::paused;
  abandon();
  return State::failed;
}

void Block::leave_barrier() {
  waits_ = false;
  arrived_ = 0;
  ++phase_;
  for (Warp& warp : warps_) warp.arrived = 0;
}

void Block::abandon() {
  std::fill(fibers_.begin(), fibers_.end(), nullptr);
  pool_.abandon();
}

int Block::next_after(const Warp& warp) {
  if (warp.gathered != 0) return stop("a warp's collective lacks lanes of its mask: " + waiting());
  if (++warp_cursor_ < warp_order_.size()) return next_thread();
  return end_of_turn();
}

int Block::end_of_turn() {
  const bool all_or_none_arrived = arrived_ == 0 || arrived_ == threads_;
  if (at_barrier_ == threads_ && all_or_none_arrived) {
    new_phase();
    return next_thread();
  }
  if (at_grid_ == threads_) return kHost;
  if (at_barrier_ == 0 && at_grid_ == 0 && arrived_ == 0) return kHost;
  if (!all_or_none_arrived || at_grid_ != 0) {
    return stop("the grid's barrier is not reached by all threads: " + waiting());
  }
  if (at_barrier_ == 0) return stop("returns without having waited at the grid's barrier: " + waiting());
  return stop("__syncthreads() is not reached by all threads: " + waiting());
}

Fiber& Block::start_fiber(int thread) {
  if (thread == kHost) return host_;
  Fiber& fiber = pool_.acquire();
  fiber.thread = thread;
  return fiber;
}

int Block::stop(const std::string& why) {
  failure_ = why;
  return kHost;
}

}  // namespace plumbline::cuda_emulation
