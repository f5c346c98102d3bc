// The threads of one block, taking turns on one thread of the host: each runs until it waits at a barrier or
// in a collective of its warp, or returns. A warp runs until all its lanes wait for the whole block or have
// returned, then the next one.
#pragma once

#include <device_functions.h>

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/cuda_emulation/fiber.h"
#include "tests/cuda_emulation/order.h"

namespace plumbline::cuda_emulation {

// Lanes that have come to the same collective with the same mask.
struct Gathering {
  Collective kind = Collective::none;
  unsigned size = 0;  // bytes of the values
  unsigned mask = 0;
  unsigned arrived = 0;

  bool is(Collective other, unsigned other_size, unsigned other_mask) const {
    return kind == other && size == other_size && mask == other_mask;
  }
};

struct Lane {
  std::uint64_t value = 0;  // what it brings, and then what it gets
  unsigned parameter = 0;   // a lane, a distance or a mask of lanes
  int width = 32;
};

struct Warp {
  unsigned exists = 0;    // bits of lanes
  unsigned runnable = 0;  // not started, running, or free to go on
  unsigned finished = 0;
  unsigned at_barrier = 0;
  int cursor = 0;  // in `order`: where to look for the next lane
  const LaneOrder* order = nullptr;
  std::array<Gathering, 32> gatherings;
  int gathered = 0;  // how many of them are in use
  std::array<Lane, 32> lanes;

  // Puts the lane among those that wait, and tells whether it was the last one. Defined in warp.cpp.
  bool arrive(int lane, Collective kind, unsigned size, unsigned mask);
  // The text of a mistake, or null; each lane of the mask has its result then.
  const char* exchange(Collective kind, unsigned mask);
  void vote(Collective kind, unsigned mask);
};

class Block {
 public:
  Block();

  // Runs all threads of a block of `dimensions`. False when it cannot end; failure() tells why.
  bool run(const std::function<void()>& kernel, dim3 dimensions, std::uint64_t number);
  const std::string& failure() const { return failure_; }

  // What device code calls.
  void synchronise();
  std::uint64_t collective(Collective kind, unsigned mask, std::uint64_t value, unsigned parameter, int width,
                           unsigned size);
  void trap();

 private:
  static constexpr int kHost = -1;  // instead of a thread: the block has ended, well or not

  static void thread_body();
  void prepare(dim3 dimensions);
  void set_coordinates(int thread);
  int next_thread();                 // or kHost
  int next_after(const Warp& warp);  // the same, where this warp cannot go on
  void new_phase();                  // all warps from the start, in another order
  void leave_to(int next);           // until it is the turn of the thread that calls
  Fiber& start_fiber(int thread);
  int stop(const std::string& why);
  void abort(const char* what);  // of the thread that runs; never returns
  std::string description(int thread) const;
  std::string waiting() const;

  FiberPool pool_;
  Fiber host_;
  Fiber* running_ = nullptr;
  const std::function<void()>* kernel_ = nullptr;
  dim3 dimensions_{0, 0, 0};
  std::vector<uint3> coordinates_;  // of each thread
  std::vector<Fiber*> fibers_;      // of each thread that has started and not returned
  std::vector<Warp> warps_;
  std::vector<int> warp_order_;
  std::size_t warp_cursor_ = 0;
  std::uint64_t round_ = 0;  // of the shuffles
  std::int64_t switches_ = 0;
  int current_ = 0;  // the thread that runs
  int threads_ = 0, at_barrier_ = 0;
  std::string failure_;
};

Block& block();

}  // namespace plumbline::cuda_emulation
