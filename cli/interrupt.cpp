#include "cli/interrupt.h"

namespace plumbline::cli {
namespace {

std::atomic<bool> was_interrupted = false;
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler sets it");

void on_interrupt(int) {
  was_interrupted = true;
}

}  // namespace

InterruptGuard::InterruptGuard() {
  was_interrupted = false;
  if (::sigaction(SIGINT, nullptr, &before_) != 0 || before_.sa_handler == SIG_IGN) return;
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  sigemptyset(&action.sa_mask);
  set_ = ::sigaction(SIGINT, &action, nullptr) == 0;
}

InterruptGuard::~InterruptGuard() {
  if (set_) ::sigaction(SIGINT, &before_, nullptr);
}

void InterruptGuard::clear() {
  was_interrupted = false;
}

const std::atomic<bool>* InterruptGuard::flag() {
  return &was_interrupted;
}

}  // namespace plumbline::cli
