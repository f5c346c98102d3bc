// The threads of one block, taking turns on one thread of the host: each runs until it waits at a barrier or
// in a collective of its warp, or returns. A warp runs until all its lanes wait for the whole block or have
// returned, then the next one. A block of a cooperative grid may end its turn at the grid's barrier.
#pragma once

#include <device_functions.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/cuda_emulation/fiber.h"
#include "tests/cuda_emulation/order.h"

namespace plumbline::cuda_emulation {

class Grid;

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
  unsigned at_grid = 0;  // at the grid's barrier
  unsigned arrived = 0;  // there, and have not left it
  int cursor = 0;        // in `order`: where to look for the next lane
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

// Into shared memory, on its way.
struct AsyncCopy {
  void* to;
  const void* from;
  std::size_t size;

  void run() const;
};
// A thread's, in the order it asked for them.
struct AsyncCopies {
  std::vector<AsyncCopy> asked;
  std::size_t committed = 0;  // of them, the first
};

class Block {
 public:
  enum class State { ended, paused, failed };

  Block();

  // A block of `dimensions` that has not begun, of a cooperative grid where there is one. `number` tells
  // shuffles apart.
  void start(const std::function<void()>& kernel, dim3 dimensions, std::uint64_t number,
             Grid* grid = nullptr);
  // Runs all its threads until they have returned or wait for the grid; after a pause they go on. When it
  // cannot end failure() tells why, and all blocks that have begun are lost.
  State run();
  void abandon();  // after a failure of any block
  const std::string& failure() const { return failure_; }

  bool waits() const { return waits_; }                          // paused at barrier_wait()
  bool paused_at_arrival() const { return pauses_at_arrival_; }  // of this phase, or before it began to wait
  unsigned phase() const { return phase_; }
  bool in_grid() const { return grid_ != nullptr; }

  // What device code calls.
  void synchronise();
  std::uint64_t collective(Collective kind, unsigned mask, std::uint64_t value, unsigned parameter, int width,
                           unsigned size);
  void trap();
  unsigned arrive_at_grid();
  void wait_for_grid(unsigned token);
  void copy_later(void* to, const void* from, std::size_t size);
  void commit_copies();
  void wait_for_copies();

 private:
  static constexpr int kHost = -1;  // instead of a thread: the block has ended, well or not

  static void thread_body();
  void prepare(dim3 dimensions);
  void set_coordinates(int thread);
  int next_thread();                 // or kHost
  int next_after(const Warp& warp);  // the same, where this warp cannot go on
  int end_of_turn();                 // the same, where no warp can
  void leave_barrier();              // the grid's
  void new_phase();                  // all warps from the start, in another order
  void leave_to(int next);           // until it is the turn of the thread that calls
  void pause(int thread);            // until all threads have, and the grid goes on
  Fiber& start_fiber(int thread);
  int stop(const std::string& why);
  void abort(const char* what);  // of the thread that runs; never returns
  std::string description(int thread) const;
  std::string waiting() const;

  FiberPool& pool_;
  Fiber host_;
  Fiber* running_ = nullptr;
  const std::function<void()>* kernel_ = nullptr;
  dim3 dimensions_{0, 0, 0};
  std::vector<uint3> coordinates_;  // of each thread
  std::vector<Fiber*> fibers_;      // of each thread that has started and not returned
  std::vector<Warp> warps_;
  std::vector<AsyncCopies> copies_;  // of each thread; none before the first is asked for
  std::vector<int> warp_order_;
  std::size_t warp_cursor_ = 0;
  std::uint64_t round_ = 0;  // of the shuffles
  std::int64_t switches_ = 0;
  int current_ = 0;  // the thread that runs
  int threads_ = 0, at_barrier_ = 0;
  std::string failure_;

  Grid* grid_ = nullptr;
  std::uint64_t number_ = 0;
  unsigned phase_ = 0;              // how many of the grid's barriers it has left
  int arrived_ = 0, at_grid_ = 0;   // threads
  bool pauses_at_arrival_ = false;  // in this phase
  bool waits_ = false;
};

// "(x,y,z)".
std::string place(uint3 at);

}  // namespace plumbline::cuda_emulation
