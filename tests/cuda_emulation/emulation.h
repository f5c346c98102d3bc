// How the emulated CUDA device behaves, what it counted, and what it found wrong: for tests. It is no GPU. It
// shows index arithmetic, barriers, orders of sums, staging of copies, lifetimes of memory and limits of
// launches; never timing, never a real device's memory coherence, compiler or tensor cores.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace plumbline::cuda_emulation {

// The order of blocks, and of the threads of a block between two barriers. All are legal on a device: results
// that change with it come from a race. A block of a cooperative grid runs up to its barrier_wait() when
// ascending, up to its barrier_arrive() when descending, and to either by chance when shuffled; then it is
// the next block's turn, and shuffled blocks take turns in another order after each barrier.
enum class Order { ascending, descending, shuffled };

struct Settings {
  // Lazy: kernels and asynchronous copies run only when the host waits for them. Eager: at once. A device may
  // do either.
  bool lazy = true;
  Order order = Order::ascending;
  unsigned seed = 1;  // of Order::shuffled

  int device_count = 1;
  int driver_version = 13000;  // 0: no driver
  int compute_major = 9;
  int compute_minor = 0;
  std::size_t device_memory = std::size_t{1} << 32;  // bytes that cudaMalloc may hand out in all
  std::size_t shared_optin = 227 * 1024;             // most dynamic shared memory of a block, in bytes
  // Few, since cooperative grids live at once: each of their threads has a stack of its own.
  int multiprocessors = 3;
  // Most blocks of one kernel that a multiprocessor holds, beside what its threads and shared memory allow:
  // what registers do on a device. Times `multiprocessors` it is the most that a cooperative grid may have.
  int blocks_of_multiprocessor = 1;
  bool cooperative_launch = true;  // whether the device has it

  // A launch of a kernel whose name contains this fails when it runs; empty: none does.
  std::string fail_kernel;
  // The call of the API with this number of counters().calls fails with cudaErrorUnknown; 0: none does.
  std::int64_t fail_call = 0;
};

// Changes hold from the next call of the API. At the start of the program, PLUMBLINE_EMULATION_ORDER
// (ascending, descending, shuffled:SEED) and PLUMBLINE_EMULATION_STREAMS (lazy, eager) set the first three.
Settings& settings();

// What was asked for since the program's start, or since the test wrote `counters() = {}`.
struct Counters {
  std::int64_t calls = 0;     // of the API, all in all
  std::int64_t launches = 0;  // of kernels, by the host; not those inside graphs
  std::int64_t graph_launches = 0;
  std::int64_t kernels_run = 0;  // those of graphs too
  std::int64_t blocks_run = 0;
  std::int64_t switches = 0;  // between threads of blocks
  std::int64_t device_allocations = 0;
  std::int64_t device_frees = 0;
  std::int64_t pinned_allocations = 0;
  std::int64_t synchronisations =
      0;  // calls that make the host wait; blocking copies and cudaFree among them
  std::int64_t copies_to_device = 0;
  std::int64_t copies_to_host = 0;
  std::int64_t copies_on_device = 0;
  std::int64_t memsets = 0;
  std::int64_t bytes_to_device = 0;
  std::int64_t bytes_to_host = 0;
  std::int64_t bytes_on_device = 0;
};
Counters& counters();

// Held now, in bytes and in blocks, by cudaMalloc and by cudaMallocHost.
struct Held {
  std::size_t device_bytes = 0;
  std::size_t device_blocks = 0;
  std::size_t pinned_bytes = 0;
  std::size_t pinned_blocks = 0;
  std::size_t streams = 0;
  std::size_t events = 0;
  std::size_t graphs = 0;  // executable ones too
};
Held held();

// What the last launch did wrong, in words: "kernel NAME: block (0,0,0): thread (3,0,0) has returned, ...";
// empty: nothing. cudaGetErrorString() of the launch's error ends with it.
const std::string& failure();

// As a new process: work queued is dropped, errors forgotten, memory and handles of the runtime gone,
// counters zero, settings those of the start.
void reset();

}  // namespace plumbline::cuda_emulation
