// A fixed set of threads for loops whose parts are independent. Threads sleep between loops: nothing spins.
//
// No result may depend on how a loop is cut up: bodies write disjoint outputs and never add across parts.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace plumbline::native {

class ThreadPool {
 public:
  // The caller of parallel_for works too: `threads` - 1 are started. At least 1.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  using Body = std::function<void(std::int64_t begin, std::int64_t end)>;
  // Runs body over [0, items) in parts of `grain` (the last may be shorter); returns when all are done.
  // Rethrows the first exception of a body. Not reentrant.
  void parallel_for(std::int64_t items, std::int64_t grain, const Body& body);

 private:
  struct Loop {
    std::int64_t items;
    std::int64_t grain;
    const Body* body;
    std::atomic<std::int64_t> next{0};
    int helpers = 0;  // workers inside; guarded by mutex_
    std::exception_ptr problem;
  };
  void worker();
  void take_parts(Loop& loop);

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable work_;      // workers wait here for a loop
  std::condition_variable finished_;  // the caller waits here for the last helper
  Loop* loop_ = nullptr;
  std::uint64_t loops_started_ = 0;
  bool stopping_ = false;
};

}  // namespace plumbline::native
