#include "harness/parallel.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace plumbline {
namespace {

thread_local bool inside_piece = false;

// One call's pieces: handed out in order, errors kept by index.
class Job {
 public:
  Job(std::size_t count, const std::function<void(std::size_t)>& work)
      : count_(count), work_(work), errors_(count) {}

  void run() {
    inside_piece = true;
    for (std::size_t i = next_++; i < count_; i = next_++) {
      try {
        work_(i);
      } catch (...) {
        errors_[i] = std::current_exception();
      }
    }
    inside_piece = false;
  }

  void rethrow_first() const {
    for (const std::exception_ptr& error : errors_) {
      if (error) std::rethrow_exception(error);
    }
  }

 private:
  std::size_t count_;
  const std::function<void(std::size_t)>& work_;
  std::atomic<std::size_t> next_{0};
  std::vector<std::exception_ptr> errors_;
};

// Threads that wait for jobs. One job at a time.
class Workers {
 public:
  static Workers& shared() {
    static Workers workers;
    return workers;
  }

  void run(Job& job, std::size_t helpers) {
    const std::lock_guard<std::mutex> one_job(turn_);
    std::unique_lock<std::mutex> lock(mutex_);
    while (threads_.size() < helpers) threads_.emplace_back([this] { serve(); });
    job_ = &job;
    wanted_ = helpers;
    lock.unlock();
    wake_.notify_all();
    job.run();
    lock.lock();
    wanted_ = 0;  // who has not begun by now finds nothing to do
    done_.wait(lock, [this] { return busy_ == 0; });
    job_ = nullptr;
  }

  ~Workers() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  void serve() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return stopping_ || wanted_ > 0; });
      if (stopping_) return;
      --wanted_;
      ++busy_;
      Job* job = job_;
      lock.unlock();
      job->run();
      lock.lock();
      if (--busy_ == 0) done_.notify_all();
    }
  }

  std::mutex turn_, mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> threads_;
  Job* job_ = nullptr;
  std::size_t wanted_ = 0, busy_ = 0;
  bool stopping_ = false;
};

}  // namespace

void parallel_for(std::size_t count, int threads, const std::function<void(std::size_t)>& work) {
  const std::size_t cores = std::max(1u, std::thread::hardware_concurrency());
  const std::size_t wanted = std::min(count, threads > 0 ? static_cast<std::size_t>(threads) : cores);
  Job job(count, work);
  if (inside_piece) {
    for (std::size_t i = 0; i < count; ++i) work(i);
    return;
  }
  if (wanted <= 1) {
    job.run();
  } else {
    Workers::shared().run(job, wanted - 1);
  }
  job.rethrow_first();
}

}  // namespace plumbline
