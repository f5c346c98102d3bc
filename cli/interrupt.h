// Ctrl-C while something can be ended early.
#pragma once

#include <signal.h>

#include <atomic>

namespace plumbline::cli {

// While it lives, SIGINT sets a flag and ends nothing: generation looks at it between forward calls. Where
// SIGINT was ignored, it stays so. One at a time.
class InterruptGuard {
 public:
  InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  ~InterruptGuard();
  static const std::atomic<bool>* flag();
  static bool interrupted() { return *flag(); }
  static void clear();

 private:
  struct sigaction before_ {};
  bool set_ = false;
};

}  // namespace plumbline::cli
