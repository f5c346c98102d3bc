// What the parts of the emulated runtime share: one device, its memory, its streams, its error. Guarded by
// one mutex, which every call of the API holds while it runs.
#pragma once

#include <cuda_runtime.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/cuda_emulation/emulation.h"

namespace plumbline::cuda_emulation {

using Work = std::shared_ptr<const std::function<void()>>;

struct Capture {
  cudaStreamCaptureMode mode;
  std::thread::id thread;
  bool broken = false;
  std::vector<Work> recorded;
};

struct QueuedWork {
  std::uint64_t ticket;  // grows with every call that queues
  Work work;
};

// What an event has seen. Shared with the work that is queued, which may outlive the event.
struct EventState {
  std::uint64_t recorded = 0;  // the ticket of its last record; 0: never
  std::uint64_t done = 0;      // that of the last one that was run
  CUstream_st* stream = nullptr;
  bool captured = false;
  std::chrono::steady_clock::time_point time;
};

struct Allocation {
  std::size_t bytes;
  bool on_device;  // or pinned
};

}  // namespace plumbline::cuda_emulation

struct CUstream_st {
  bool blocking = true;  // the legacy default stream waits for it, and it for that one
  std::deque<plumbline::cuda_emulation::QueuedWork> queue;
  std::unique_ptr<plumbline::cuda_emulation::Capture> capture;
};
struct CUevent_st {
  bool timed = true;
  std::shared_ptr<plumbline::cuda_emulation::EventState> state;
};
struct CUgraph_st {
  std::vector<plumbline::cuda_emulation::Work> work;
};
struct CUgraphExec_st {
  std::vector<plumbline::cuda_emulation::Work> work;
};

namespace plumbline::cuda_emulation {

struct Runtime {
  std::recursive_mutex mutex;
  Counters counters;
  cudaError_t sticky = cudaSuccess;  // until cudaDeviceReset: a launch that failed loses the context
  std::string failure;
  std::map<std::uintptr_t, Allocation> memory;
  std::size_t device_bytes = 0;
  int device_accesses = 0;                    // DeviceAccess objects
  std::map<const void*, int> dynamic_shared;  // what cudaFuncSetAttribute allowed a kernel
  CUstream_st default_stream;
  std::vector<CUstream_st*> streams;  // made by the caller, in the order of their making
  std::set<CUevent_st*> events;
  std::set<CUgraph_st*> graphs;
  std::set<CUgraphExec_st*> executables;
  std::uint64_t ticket = 0;
};
Runtime& runtime();

// How a call of the API stands to a capture that goes on: cudaMalloc and whatever waits breaks one. Those
// that give back what the caller has do so also when the context is lost.
enum class During { capture_allowed, capture_forbidden, release };

// What every call of the API does: the lock, the count, the errors that come before its own, and the last
// error.
cudaError_t api(During during, const std::function<cudaError_t()>& body);
// Keeps `error` for cudaGetLastError() of this thread, and gives it back.
cudaError_t remember(cudaError_t error);

// The context is lost, because of `why`.
void lose_context(cudaError_t error, const std::string& why);

// The stream itself, the default one for null; null for a handle of no stream.
CUstream_st* find_stream(cudaStream_t stream);
// Queues the work, or runs it at once, or records it where the stream is being captured.
cudaError_t submit(CUstream_st& stream, std::function<void()> work);
cudaError_t submit(CUstream_st& stream, const Work& work);
// Runs what the stream holds up to that ticket, and what it has to wait for.
void drain(CUstream_st& stream, std::uint64_t up_to);
void drain_blocking_streams();
void drain_all();
// Breaks the capture that forbids such a call of this thread, and says so; cudaSuccess where none does.
cudaError_t break_capture();

// Where `bytes` from `pointer` on lie: in one allocation of the runtime, or in none.
const Allocation* allocation_of(const void* pointer, std::size_t bytes);
void free_all_memory();

// While one exists, device memory may be touched. Under AddressSanitizer the host's own code may not: a
// device's is elsewhere.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

// Runs the grid now, errors into runtime().sticky.
void run_kernel(const cudaLaunchConfig_t& configuration, const KernelCall& call, bool cooperative);

// Bytes that a launch of this kernel may ask for.
std::size_t most_dynamic_shared(const void* kernel);
// Of that kernel a multiprocessor holds so many at once; 0: it cannot be launched so.
int blocks_of_multiprocessor(const void* kernel, unsigned threads, std::size_t shared_bytes);

// The symbol at an address of code, demangled; "a kernel" where the program has no table of symbols.
std::string function_name(const void* function);

}  // namespace plumbline::cuda_emulation
