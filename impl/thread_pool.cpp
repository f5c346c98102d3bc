#include "impl/thread_pool.h"

#include <algorithm>

#include "harness/error.h"

namespace plumbline::native {

ThreadPool::ThreadPool(int threads) {
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { worker(); });
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::take_parts(Loop& loop) {
  try {
    for (;;) {
      const std::int64_t begin = loop.next.fetch_add(loop.grain);
      if (begin >= loop.items) return;
      (*loop.body)(begin, std::min(begin + loop.grain, loop.items));
    }
  } catch (...) {
    loop.next = loop.items;  // nobody takes another part
    const std::lock_guard lock(mutex_);
    if (!loop.problem) loop.problem = std::current_exception();
  }
}

void ThreadPool::worker() {
  std::uint64_t last_seen = 0;
  std::unique_lock lock(mutex_);
  for (;;) {
    work_.wait(lock, [&] { return stopping_ || (loop_ != nullptr && loops_started_ != last_seen); });
    if (stopping_) return;
    last_seen = loops_started_;
    Loop& loop = *loop_;
    ++loop.helpers;
    lock.unlock();
    take_parts(loop);
    lock.lock();
    if (--loop.helpers == 0) finished_.notify_one();
  }
}

void ThreadPool::parallel_for(std::int64_t items, std::int64_t grain, const Body& body) {
  require(grain > 0, "parallel_for: a part must hold something");
  if (items <= 0) return;
  if (workers_.empty() || items <= grain) {
    for (std::int64_t begin = 0; begin < items; begin += grain) body(begin, std::min(begin + grain, items));
    return;
  }
  Loop loop{.items = items, .grain = grain, .body = &body, .problem = nullptr};
  {
    const std::lock_guard lock(mutex_);
    require(loop_ == nullptr, "parallel_for inside parallel_for");
    loop_ = &loop;
    ++loops_started_;
  }
  work_.notify_all();
  take_parts(loop);
  std::unique_lock lock(mutex_);
  loop_ = nullptr;  // workers still asleep need not come
  finished_.wait(lock, [&] { return loop.helpers == 0; });
  if (loop.problem) std::rethrow_exception(loop.problem);
}

}  // namespace plumbline::native
