// Stacks of their own for the threads of a block, and switches between them that make no system call.
#pragma once

#include <cstddef>
#include <vector>

namespace plumbline::cuda_emulation {

struct Fiber {
  void* stack_pointer = nullptr;  // while it does not run
  char* stack = nullptr;          // lowest byte of its stack, above the guard page; null for the host's own
  std::size_t bytes = 0;
  void* fake_stack = nullptr;  // AddressSanitizer's
  int thread = -1;             // what it is to run when it is switched to
};

// Portable switches make a system call each; tests of them define PLUMBLINE_EMULATION_PORTABLE.
#if !defined(__x86_64__) && !defined(PLUMBLINE_EMULATION_PORTABLE)
#define PLUMBLINE_EMULATION_PORTABLE
#endif

// Saves where the caller stands, and goes on where somebody saved `load`.
extern "C" void plumbline_emulation_switch(void** save, void* load);

// Runs `to` from where it stood, and returns when somebody switches back to `from`, which must be the one
// that runs.
#if !defined(PLUMBLINE_EMULATION_PORTABLE) && !defined(__SANITIZE_ADDRESS__)
inline void switch_fiber(Fiber& from, Fiber& to) {
  plumbline_emulation_switch(&from.stack_pointer, to.stack_pointer);
}
#else
void switch_fiber(Fiber& from, Fiber& to);
#endif

// Fibers that are made once and used again. All run `body`, which must never return.
class FiberPool {
 public:
  explicit FiberPool(void (*body)()) : body_(body) {}
  FiberPool(const FiberPool&) = delete;
  FiberPool& operator=(const FiberPool&) = delete;

  Fiber& acquire();
  void release(Fiber& fiber) { free_.push_back(&fiber); }
  // Forgets where all fibers stand: each starts anew. None may be running.
  void abandon();

 private:
  void start(Fiber* fiber, std::size_t index);

  void (*body_)();
  std::vector<Fiber*> all_, free_;  // never freed: they are the program's
};

}  // namespace plumbline::cuda_emulation
