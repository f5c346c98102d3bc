#include "tests/cuda_emulation/block.h"

#include <algorithm>

#include "tests/cuda_emulation/emulation.h"

uint3 threadIdx{}, blockIdx{};
dim3 blockDim, gridDim;

namespace plumbline::cuda_emulation {

namespace {

Block* the_block = nullptr;  // fibers' stacks are never given back

}  // namespace

Block& block() {
  if (the_block == nullptr) the_block = new Block;
  return *the_block;
}

Block::Block() : pool_(&Block::thread_body) {}

void Block::thread_body() {
  Block& self = block();
  for (;;) {
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

inline void Block::set_coordinates(int thread) {
  current_ = thread;
  threadIdx = coordinates_[thread];
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
  }
}

void Block::new_phase() {
  at_barrier_ = 0;
  warp_cursor_ = 0;
  warp_order_.clear();
  for (const std::uint8_t w : lane_order(round_++)) {
    if (w < warps_.size()) warp_order_.push_back(w);
  }
  for (Warp& warp : warps_) {
    warp.runnable = warp.exists;
    warp.at_barrier = 0;
    warp.cursor = 0;
    warp.order = &lane_order(round_++);
  }
}

bool Block::run(const std::function<void()>& kernel, dim3 dimensions, std::uint64_t number) {
  kernel_ = &kernel;
  failure_.clear();
  round_ = number * 1024;
  prepare(dimensions);
  new_phase();
  const int first = next_thread();
  running_ = &host_;
  switches_ = 0;
  leave_to(first);
  counters().switches += switches_;
  if (failure_.empty()) return true;
  std::fill(fibers_.begin(), fibers_.end(), nullptr);
  pool_.abandon();
  return false;
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

int Block::next_after(const Warp& warp) {
  if (warp.gathered != 0) return stop("a warp's collective lacks lanes of its mask: " + waiting());
  if (++warp_cursor_ < warp_order_.size()) return next_thread();
  if (at_barrier_ == 0) return kHost;
  if (at_barrier_ != threads_) return stop("__syncthreads() is not reached by all threads: " + waiting());
  new_phase();
  return next_thread();
}

Fiber& Block::start_fiber(int thread) {
  if (thread == kHost) return host_;
  Fiber& fiber = pool_.acquire();
  fiber.thread = thread;
  return fiber;
}

inline void Block::leave_to(int next) {
  Fiber& self = *running_;
  Fiber& other = next != kHost && fibers_[next] != nullptr ? *fibers_[next] : start_fiber(next);
  if (&other == &self) return;
  ++switches_;
  running_ = &other;
  switch_fiber(self, other);
}

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

void Block::trap() {
  abort("trapped");
}

int Block::stop(const std::string& why) {
  failure_ = why;
  return kHost;
}

void Block::abort(const char* what) {
  const int end = stop(description(current_) + " " + what);
  leave_to(end);  // for good: nothing may be left on this stack that wants to be destroyed
}

void trap() {
  block().trap();
}

std::uint64_t collective(Collective kind, unsigned mask, std::uint64_t value, unsigned parameter, int width,
                         unsigned size) {
  return the_block->collective(kind, mask, value, parameter, width, size);
}

}  // namespace plumbline::cuda_emulation

void __syncthreads() {
  plumbline::cuda_emulation::block().synchronise();
}
